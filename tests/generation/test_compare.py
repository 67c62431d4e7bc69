"""Sets against sets: with a listener whose answers are the samples, every number is known."""

import json

import numpy as np
import pytest
from generation.audio import RATE, pieces, sound
from numpy.testing import assert_allclose

from gmsdi_jax.audio import write
from gmsdi_jax.errors import ConfigError, InputError
from gmsdi_jax.generation import Cut, Listener, Request, Store, compare, markdown
from gmsdi_jax.generation.compare import numbers
from gmsdi_jax.generation.table import as_json
from gmsdi_jax.metrics.frechet import frechet_distance
from gmsdi_jax.metrics.kad import kernel_distance

D = 3
WORDS = {"low": [1, 0, 0], "high": [0, 1, 0], "a voice": [0, 0, 1], "a low voice": [0.9, 0, 0.1]}
SAMPLES = Listener(
    "samples",
    "the first three",
    lambda clips, rate: clips[:, None, :D],
    words=lambda texts: np.array([WORDS[text] for text in texts], float),
)
WHOLE = Cut(seconds=None)


def songs(folder, sets, name="{}.wav"):
    """A file for each vector, which opens with it."""
    for number, vector in enumerate(sets):
        audio = np.zeros((1600, 1), np.float32)
        audio[:D, 0] = vector
        write(folder / name.format(number), audio, RATE)
    return folder


def run(tmp_path, listener=SAMPLES, **options):
    paths = {side: tmp_path / side for side in ("generated", "reference")}
    listeners = [] if listener is None else [listener]
    return compare(
        Request(**{"cut": WHOLE, **paths, **options}), listeners, Store(tmp_path / "store")
    )


def test_the_distances_are_those_of_all_embeddings(tmp_path, rng):
    x, y = (0.1 * rng.standard_normal((n, D)).astype(np.float32) for n in (20, 30))
    songs(tmp_path / "generated", x)
    songs(tmp_path / "reference", y)
    told = []
    request = Request(generated=tmp_path / "generated", reference=tmp_path / "reference", cut=WHOLE)
    found = compare(request, [SAMPLES], Store(tmp_path / "s"), lambda *line: told.append(line))
    (row,) = found.distances
    assert_allclose(row.value.fad, frechet_distance(x, y), rtol=1e-5)
    assert_allclose(row.value.kad, kernel_distance(x, y), rtol=1e-4)
    assert (row.generated, row.reference, row.dimensions) == ((20, 20), (30, 30), D)
    assert row.floor_embeddings == 15
    assert np.isfinite(row.value.fad_infinity)  # 20 embeddings are enough for three dimensions
    assert told[0] == (1, 50, "0.wav")
    assert told[-1] == (50, 50, "9.wav")


def test_the_kernel_distance_of_many(rng):
    """Its cost is the square of the number, so a part is drawn: the same on average."""
    x, y = rng.standard_normal((600, D)), 1 + rng.standard_normal((500, D))
    whole = kernel_distance(x, y)
    assert numbers(x, y).kad == numbers(x, y, most=600).kad == whole
    drawn = numbers(x, y, most=200)
    assert drawn.kad != whole
    assert_allclose(drawn.kad, whole, rtol=0.2)
    assert drawn.fad == numbers(x, y).fad


def test_the_floor_is_of_songs_not_of_clips(tmp_path, rng):
    """Two songs of ten clips, far apart: halves that mix their clips would be near each other."""
    for song, place in enumerate((-0.5, 0.5)):
        vectors = place + 0.01 * rng.standard_normal((10, D))
        audio = np.zeros((10, 1600))
        audio[:, :D] = vectors
        folder = tmp_path / "reference"
        write(folder / f"{song}.wav", audio.reshape(-1, 1).astype(np.float32), RATE)
    songs(tmp_path / "generated", 0.5 + 0.01 * rng.standard_normal((10, D)))
    (row,) = run(tmp_path, cut=Cut(seconds=0.1)).distances
    assert row.reference == (20, 20)
    assert_allclose(row.floor.fad, D, rtol=0.05)  # |(1, 1, 1)|²
    assert row.floor_embeddings == 10


def test_a_floor_needs_two_songs(tmp_path, rng):
    songs(tmp_path / "generated", rng.standard_normal((4, D)) / 10)
    (tmp_path / "reference").mkdir()
    write(tmp_path / "reference" / "one.wav", rng.standard_normal((16000, 1)) / 10, RATE)
    (row,) = run(tmp_path, cut=Cut(seconds=0.1)).distances
    assert np.isnan(row.floor.fad)
    assert row.floor_embeddings == 0
    assert np.isfinite(row.value.fad)


def test_few_embeddings_are_not_extrapolated(tmp_path, rng):
    """Fewer than two per dimension: no line, and a word about it below the table."""
    songs(tmp_path / "generated", rng.standard_normal((5, D)) / 10)
    songs(tmp_path / "reference", rng.standard_normal((9, D)) / 10)
    found = run(tmp_path)
    assert np.isnan(found.distances[0].value.fad_infinity)
    assert "5 embeddings of 3 dimensions" in markdown(found)
    assert json.loads(json.dumps(as_json(found)))["distances"][0]["value"]["fad_infinity"] is None


@pytest.mark.parametrize("right", [True, False])
def test_accompaniments_are_heard_with_what_they_were_made_for(tmp_path, right):
    """sub-FAD: of the real bass itself it is 0; of another song's it is not."""
    pieces(tmp_path / "reference", range(6))
    for seed in range(6):
        bass = sound("bass", seed if right else seed + 10)[:, None].astype(np.float32)
        write(tmp_path / "generated" / f"song{seed}" / "bass.wav", bass, RATE)
    hear = Listener("a few samples", "1", lambda clips, rate: clips[:, None, 4000:4004])
    options = {"things": ("mix",), "given": tmp_path / "reference"}
    (row,) = run(tmp_path, hear, **options).distances
    assert (row.value.fad < 1e-9) == right
    assert row.generated == row.reference == (6, 6)


def test_stems_are_scored_by_their_names(tmp_path):
    """Two songs whose ``low`` sounds low; one of the two ``high`` does not sound high."""
    for song, (low, high) in enumerate(
        [([0.5, 0.1, 0], [0, 0.5, 0]), ([0.5, 0, 0], [0.4, 0.1, 0])]
    ):
        for name, vector in (("low", low), ("high", high)):
            for side in ("generated", "reference"):
                songs(tmp_path / side / f"song{song}", [vector], name + ".wav")
    found = run(tmp_path, things=("low", "high"), negatives=("a voice",)).scores
    rows = {(score.thing, score.side): score.value for score in found}
    assert [rows[name, "generated"].accuracy for name in ("low", "high")] == [1, 0.5]
    assert rows["low", "generated"] == rows["low", "reference"]
    assert_allclose(rows["high", "generated"].score, (1 + 0.1 / np.hypot(0.4, 0.1)) / 2, rtol=1e-5)
    assert rows["low", "generated"].chance == 1 / 3
    (low, *_) = run(tmp_path, things=("low",), words="a {} voice", negatives=("a voice",)).scores
    assert low.words == "a low voice"
    # A mixture has no name, so it is scored by words alone, if any are given.
    assert run(tmp_path, things=("mix",)).scores == []
    (one, _) = run(tmp_path, things=("mix",), words="a voice", negatives=("low",)).scores
    assert (one.words, one.value.accuracy) == ("a voice", 0)


def test_silence_and_loudness(tmp_path):
    """One clip of two is silent, the other half; loudness is that of what has one."""
    tone = sound("piano", 0)
    for name, audio in (
        ("a", np.zeros(2 * RATE)),
        ("b", np.where(np.arange(2 * RATE) < RATE, 0, tone)),
    ):
        write(tmp_path / "generated" / f"{name}.wav", audio[:, None].astype(np.float32), RATE)
    write(tmp_path / "reference" / "r.wav", tone[:, None].astype(np.float32), RATE)
    found = run(tmp_path, None)
    generated, reference = found.sounds
    assert (generated.silence, generated.silent_clips, generated.clips) == (0.75, 0.5, 2)
    # BS.1770 leaves pauses out, but for blocks that hold an end; with them it would be 3 lower.
    assert_allclose(generated.loudness, reference.loudness, atol=1)
    assert (reference.silence, generated.loudness_spread) == (0, 0)
    assert found.distances == []
    assert markdown(found).startswith("| Sound ")


def test_tables(tmp_path, rng):
    """Columns stand under each other; every line of the first table has its floor below it."""
    songs(tmp_path / "generated", rng.standard_normal((8, D)) / 10)
    songs(tmp_path / "reference", rng.standard_normal((8, D)) / 10)
    found = run(tmp_path, words="a voice", negatives=("low",))
    tables = markdown(found).split("\n\n")
    assert [table.split()[1] for table in tables] == ["Compared", "CLAP", "Sound"]
    assert all(len({len(line) for line in table.splitlines()}) == 1 for table in tables)
    _, _, value, floor = tables[0].splitlines()
    assert f"{found.distances[0].value.kad:.4g}" in value
    assert floor.startswith("| all files, real : real")
    assert "4 : 4" in floor


def test_what_cannot_be_compared(tmp_path):
    songs(tmp_path / "generated", np.ones((1, D)) / 2)
    songs(tmp_path / "reference", np.ones((3, D)) / 2)
    with pytest.raises(InputError, match="generated: one clip is no set"):
        run(tmp_path)
    with pytest.raises(ConfigError, match="name each thing once"):
        run(tmp_path, things=("mix", "Mix"))
