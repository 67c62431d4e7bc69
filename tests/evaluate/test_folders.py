"""Folders of separated stems against references, as any tool may have written them."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.testing import assert_allclose

from gmsdi_jax.errors import ConfigError, InputError, UnavailableError
from gmsdi_jax.evaluate import FolderSongs, evaluate_folders
from gmsdi_jax.metrics.scores import read_scores

RATE, SECONDS = 8000, 6
STEMS = ("bass", "drums", "guitar")


def write(folder: Path, stems, rate=RATE, suffix=".wav"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, audio in stems.items():
        subtype = "FLOAT" if suffix == ".wav" else None
        soundfile.write(folder / f"{name}{suffix}", audio, rate, subtype=subtype)


def noise(seed, seconds=SECONDS, rate=RATE):
    audio = 0.1 * np.random.default_rng(seed).standard_normal((3, round(seconds * rate)))
    return dict(zip(STEMS, audio.astype(np.float32), strict=True))


@pytest.fixture
def folders(tmp_path):
    """Two tracks, and a method that leaks a tenth of the mixture into every stem."""
    for number, track in enumerate(("one", "two")):
        stems = noise(number)
        leak = 0.1 * np.sum(list(stems.values()), axis=0)
        write(tmp_path / "refs" / track, {name.title(): x for name, x in stems.items()})
        write(tmp_path / "leaky" / track, {name: x + leak for name, x in stems.items()})
    return tmp_path


def run(root, *methods, **options):
    """Scorecard, failures and notes."""
    failed, said = [], []
    out = options.pop("out", None)
    names = methods or ("leaky",)
    songs = FolderSongs([root / name for name in names], root / "refs", say=said.append, **options)
    text = evaluate_folders(songs, out=out, on_failure=failed.append)
    return text, [str(error) for error in failed], said


def test_a_folder_is_scored_without_a_model(folders):
    """Names match without regard to case, the mixture is the sum, and the numbers are right."""
    text, failed, said = run(folders, out=folders / "run")
    assert failed == said == []
    rows = [r for r in read_scores(folders / "run") if r.method == "leaky" and r.seed == 0]
    assert {row.stem for row in rows} == {"Bass", "Drums", "Guitar"}
    # 1.1 s + 0.1 (a + b): the leak of two others of equal power, 20 log10(1.1 / 0.1) - 3.01 dB.
    expected = 20 * np.log10(11) - 10 * np.log10(2)
    # One window of three noises is some 0.1 dB off by their chance correlation, the mean is less.
    assert_allclose(np.mean([row.si_sdr for row in rows]), expected, atol=0.1)
    assert_allclose(np.mean([r.si_sdr_mixture for r in rows]), -10 * np.log10(2), atol=0.1)
    assert {"leaky", "silence", "mixture", "oracle"} <= set(text.replace("|", " ").split())
    said_of = json.loads((folders / "run/evaluation.json").read_text())
    assert said_of["model"] is None
    assert said_of["data"]["songs"] == 2
    assert said_of["methods"]["leaky"]["evaluations"] is None


def test_folders_are_compared_and_flac_is_as_good(folders):
    """Two tools in one card; a copy in another format scores the same."""
    for track, seed in (("one", 0), ("two", 1)):
        stems = noise(seed)
        leak = 0.1 * np.sum(list(stems.values()), axis=0)
        write(folders / "copy" / track, {k: x + leak for k, x in stems.items()}, suffix=".flac")
    _, failed, _ = run(folders, "leaky", "copy", out=folders / "run")
    rows = read_scores(folders / "run")
    scores = [[r.improvement for r in rows if r.method == name] for name in ("leaky", "copy")]
    assert failed == []
    assert_allclose(scores[0], scores[1], atol=1e-3)


def test_the_mixture_may_be_a_file(folders):
    """What it holds is what silence and the mixture's own row are measured against."""
    for track in ("one", "two"):
        mixture = 0.5 * np.sum(list(noise(9).values()), axis=0)
        write(folders / "refs" / track, {"mixture": mixture})
    run(folders, out=folders / "run")
    rows = [row for row in read_scores(folders / "run") if row.method == "leaky"]
    assert {row.stem for row in rows} == {"Bass", "Drums", "Guitar"}
    assert max(row.si_sdr_mixture for row in rows) < -15  # it has nothing to do with the stems


def test_tracks_that_are_missing_on_one_side_fail_alone(folders):
    write(folders / "leaky" / "three", noise(3))
    write(folders / "refs" / "four", noise(4))
    text, failed, _ = run(folders)
    assert "2 songs" in text
    assert sorted(failed) == [
        f"{folders / 'leaky'}: no track four, which another folder has",
        f"{folders / 'refs'}: no track three, which another folder has",
    ]


def test_stems_that_are_missing(folders):
    """In one separated track: that song fails. Among one track's references: it is silent there."""
    (folders / "leaky/one/bass.wav").unlink()
    (folders / "refs/two/Drums.wav").unlink()
    text, failed, said = run(folders, out=folders / "run")
    assert failed == [f"{folders / 'leaky/one'}: no bass: separate it again"]
    assert said == [f"{folders / 'refs/two'}: no Drums: taken as silent"]
    assert "1 song," in text
    drums = [row for row in read_scores(folders / "run") if row.stem == "Drums"]
    assert not any(row.active for row in drums)


def test_stems_that_no_track_has_are_named_with_what_to_do(folders):
    """As of a tool that knows other classes; those in common can be scored."""
    for track in ("one", "two"):
        (folders / "leaky" / track / "guitar.wav").rename(folders / "leaky" / track / "other.wav")
    with pytest.raises(ConfigError, match=r"leaky: no track has Guitar.*take -s bass -s drums"):
        run(folders)
    _, failed, _ = run(folders, stems=["bass", "DRUMS"], out=folders / "run")
    assert failed == []
    rows = [row for row in read_scores(folders / "run") if row.method == "leaky"]
    assert {row.stem for row in rows} == {"Bass", "Drums"}
    # The guitar is still in the mixture and in what the oracle knows.
    assert_allclose(np.mean([r.si_sdr_mixture for r in rows]), -10 * np.log10(2), atol=0.1)
    with pytest.raises(ConfigError, match="no track has vocals"):
        run(folders, stems=["vocals"])


def test_windows_count_where_any_two_stems_sound(folders):
    """Asked for the bass alone, a window of bass and drums is still a separation."""
    _, failed, _ = run(folders, stems=["bass"], out=folders / "run")
    assert failed == []
    assert {row.stem for row in read_scores(folders / "run")} == {"Bass"}


def test_rates_must_agree_or_be_converted(folders):
    wide = {k: np.repeat(x, 2) for k, x in noise(0).items()}
    write(folders / "leaky/one", wide, rate=2 * RATE)
    text, failed, _ = run(folders)
    assert len(failed) == 1
    assert "16000 Hz, where others have 8000 Hz: convert all with --sample-rate 8000" in failed[0]
    assert "1 song," in text
    text, failed, _ = run(folders, sample_rate=RATE)
    assert failed == []
    assert "2 songs," in text


def test_lengths_that_differ(folders):
    """A separation that ends early is scored as far as it goes; references must agree."""
    short = {name: x[: 4 * RATE] for name, x in noise(0).items()}
    write(folders / "leaky/one", short)
    _, failed, said = run(folders, out=folders / "run")
    assert failed == []
    assert said == ["one: files end at 4.00 to 6.00 s: scored to the first"]
    windows = {row.window for row in read_scores(folders / "run") if row.track == "one"}
    assert windows == {0}
    write(folders / "refs/two", {"Bass": noise(1)["bass"][: 5 * RATE]})
    _, failed, _ = run(folders)
    assert failed == [
        f"{folders / 'refs/two'}: bass ends 1.00 s before another stem: export the stems at one "
        "length"
    ]


def test_stereo_is_mixed_down_with_a_word(folders):
    for track, seed in (("one", 0), ("two", 1)):
        stems = noise(seed)
        leak = 0.1 * np.sum(list(stems.values()), axis=0)
        wide = {k: np.stack([x + leak + 0.1, x + leak - 0.1], 1) for k, x in stems.items()}
        write(folders / "wide" / track, wide)
    _, failed, said = run(folders, "leaky", "wide", out=folders / "run")
    rows = read_scores(folders / "run")
    scores = [[r.improvement for r in rows if r.method == name] for name in ("leaky", "wide")]
    assert failed == []
    assert said == ["files have several channels: their mean is scored"]
    assert_allclose(scores[0], scores[1], atol=1e-3)


def test_a_folder_that_is_none(folders):
    """Missing, without tracks, or one level too high: which the message sees."""
    with pytest.raises(UnavailableError, match="nowhere is no folder"):
        run(folders, "nowhere")
    (folders / "separated").mkdir()
    with pytest.raises(UnavailableError, match=r"holds no TRACK/STEM\.wav; name a folder"):
        run(folders, "separated")
    (folders / "leaky").rename(folders / "separated/leaky")
    with pytest.raises(UnavailableError, match=rf"did you mean {folders / 'separated/leaky'}\?"):
        run(folders, "separated")


def test_names_that_clash(folders):
    write(folders / "leaky/one", {"Bass": noise(0)["bass"]}, suffix=".flac")
    with pytest.raises(ConfigError, match="are one stem: remove one"):
        run(folders)
    (folders / "leaky/one/Bass.flac").unlink()
    write(folders / "deeper/leaky/one", noise(0))
    with pytest.raises(ConfigError, match="two folders are called leaky"):
        run(folders, "leaky", "deeper/leaky")


def test_nothing_can_be_scored(folders):
    for track in ("one", "two"):
        (folders / "leaky" / track).rename(folders / "leaky" / f"{track}, again")
    with pytest.raises(UnavailableError, match="no song"):
        run(folders)


def test_a_run_goes_on_and_another_file_is_another_evaluation(folders):
    """A song that failed is tried again; changed audio is refused."""
    kept = (folders / "leaky/one/bass.wav").read_bytes()
    (folders / "leaky/one/bass.wav").write_bytes(kept[:2000])
    _, failed, _ = run(folders, out=folders / "run")
    assert len(failed) == 1
    assert "one/bass.wav is truncated" in failed[0]
    (folders / "leaky/one/bass.wav").write_bytes(kept)
    with pytest.raises(ConfigError, match="another evaluation"):
        run(folders, out=folders / "run")
    text, failed, _ = run(folders, out=folders / "run2")
    assert "2 songs" in text
    assert run(folders, out=folders / "run2")[0] == text


@pytest.mark.skipif(sys.platform == "win32", reason="modes")
def test_a_file_that_cannot_be_read_is_named(folders, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("gmsdi_jax.evaluate.folders.digest", denied)
    with pytest.raises(InputError, match=r"Bass\.wav cannot be read \(Permission denied\)"):
        run(folders, out=folders / "run")
