"""Evaluation with a separator that is nearly right by construction: low tones, high tones."""

import csv
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.baselines import static
from gmsdi_jax.build import Model
from gmsdi_jax.config import ModelConfig
from gmsdi_jax.data import (
    FixedWindows,
    Settings,
    WholeTrack,
    fixed_windows,
    open_split,
    write_split,
)
from gmsdi_jax.errors import ConfigError, InputError, OutputError, UnavailableError
from gmsdi_jax.evaluate import (
    STATIC,
    Song,
    Validator,
    check_same,
    evaluate,
    evaluate_split,
    fit_static,
    songs_of,
)
from gmsdi_jax.methods import SeparationConfig, separate
from gmsdi_jax.metrics.si_sdr import si_sdr
from gmsdi_jax.metrics.summary import summarise
from gmsdi_jax.models import SpectralConfig, TagsConfig
from gmsdi_jax.pipeline import GMSDI, prompts_for

RATE, LABELS, CHUNK, HOP = 2000, ("Low", "High"), 8192, 256
CONFIG = ModelConfig(
    network=SpectralConfig(
        text_features=8, fft=128, fine_bins=32, width=16, dilations=(1,), components=2
    ),
    conditioner=TagsConfig(labels=LABELS, features=8),
    sample_rate=RATE,
    window=2048,
)
QUICK = SeparationConfig(sigmas=(0.1,))


def stems_of(seed, seconds=10, silent=()):
    """A tone of 197 Hz and one of 743 Hz of any phase, with a little noise of their own."""
    rng = np.random.default_rng(seed)
    t = np.arange(seconds * RATE) / RATE
    tones = [np.sin(2 * np.pi * (f * t + rng.random())) for f in (197, 743)]
    stems = 0.1 * np.stack(tones) + 0.003 * rng.standard_normal((2, len(t)))
    for k, start, end in silent:
        stems[k, start * RATE : end * RATE] = 0
    return stems.astype(np.float32)


def song_of(seed, **options):
    stems = stems_of(seed, **options)
    return Song(f"song {seed}", stems.sum(0), stems)


class FakeModel:
    """Splits at 450 Hz; `leak` is the share of each answer that goes to the other stem."""

    def __init__(self, leak=0.0):
        self.leak, self.labels = leak, LABELS
        self.model = SimpleNamespace(config=CONFIG)

    def separator(self, stems, config, *, rows):
        assert stems is None

        def split(batch, first):
            spectrum = np.fft.rfft(batch, axis=1)
            low = np.fft.rfftfreq(batch.shape[1], 1 / RATE)[None, :, None] < 450
            parts = np.stack([np.fft.irfft(spectrum * keep, axis=1) for keep in (low, ~low)], 1)
            leak = self.leak * config.guidance
            return ((1 - leak) * parts + leak * parts[:, ::-1]).astype(np.float32)

        class Separator(SimpleNamespace):
            def __call__(self, batch, first):
                return split(batch, first)

            def compile(self):
                pass

        return Separator(
            model=self.model, stems=LABELS, rows=rows, evaluations=config.evaluations(2)
        )


@pytest.fixture(scope="module")
def result():
    """Two methods, the second of which leaks more, on three songs; and what was announced."""
    spectra = static.StaticFilter(np.ones((2, 513)), LABELS, RATE)
    methods = {"sharp": QUICK, "leaky": SeparationConfig(guidance=3.0)}
    told = []
    found = evaluate(
        FakeModel(leak=0.1),  # type: ignore[arg-type]
        [song_of(seed) for seed in range(3)],
        methods,
        spectra=spectra,
        on_song=lambda *what: told.append(what),
    )
    return found, told


def test_methods_stand_above_the_baselines(result):
    """Rows in order: the methods as given, then static, mixture, silence and the oracle."""
    found, told = result
    names = [method.name for method in found.methods]
    assert names == ["sharp", "leaky", "static", "mixture", "silence", "oracle"]
    assert told == [(f"song {s}", name) for s in range(3) for name in ("sharp", "leaky")]
    assert [m.evaluations for m in found.methods] == [2, 12, None, None, None, None]
    assert all((m.real_time_factor is not None) == (m.name in names[:2]) for m in found.methods)


def test_scores_order_what_is_known_to_be_ordered(result):
    """The oracle beats 10 % leak beats 30 %; the mixture is at 0 dB, and so are flat spectra."""
    score = {m.name: summarise(m.rows).overall for m in result[0].methods}
    assert score["oracle"] > score["sharp"] > score["leaky"] > score["mixture"] + 3
    assert_allclose([score["mixture"], score["static"]], 0, atol=0.01)
    assert_allclose(score["sharp"], 20 * np.log10(0.9 / 0.1), atol=1)  # edges leak too


def test_scorecard_compares_the_first_method_with_each_baseline(result):
    """A table, one paired line per baseline but none for the oracle, and what was measured on."""
    found, _ = result
    text = str(found)
    score = {m.name: summarise(m.rows).overall for m in found.methods}
    for name in ("static", "mixture", "silence"):
        assert f"sharp over {name}: {score['sharp'] - score[name]:+.2f} dB, 95 % interval" in text
    assert "over oracle" not in text
    assert "over leaky" not in text
    assert text.endswith("3 songs, 12 windows of 4 s")
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:8]] == [
        m.name for m in found.methods
    ]


def test_scores_are_saved_row_by_row(result, tmp_path):
    """scores.csv has a row per method, song, window and stem; scorecard.md is the printed text."""
    found, _ = result
    found.save(tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder" / "scorecard.md").read_text() == f"{found}\n"
    with (tmp_path / "new" / "folder" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 3 * 4 * 2
    assert list(rows[0])[:3] == ["method", "track", "window"]
    sharp = [float(r["improvement"]) for r in rows if (r["method"], r["stem"]) == ("sharp", "Low")]
    assert_allclose(np.mean(sharp), summarise(found.methods[0].rows).stems["Low"], rtol=1e-6)


def test_scores_that_cannot_be_saved(result, tmp_path):
    """A file where the folder should be is an OutputError."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="cannot write the scores"):
        result[0].save(tmp_path / "taken")


def test_only_windows_with_two_stems_count():
    """Where a stem is silent nothing is separated: those windows are not scored, or said so."""
    song = song_of(0, silent=[(1, 0, 6)])
    found = evaluate(FakeModel(), [song], {"m": QUICK})  # type: ignore[arg-type]
    windows = {row.window for row in found.methods[0].rows}
    assert windows == {2, 3}
    assert [m.name for m in found.methods] == ["m", "mixture", "silence", "oracle"]
    mute = song_of(0, silent=[(1, 0, 10)])
    with pytest.raises(InputError, match="no window was scored"):
        str(evaluate(FakeModel(), [mute], {"m": QUICK}))  # type: ignore[arg-type]


def test_nothing_to_evaluate():
    """No song, or a protocol that does not exist, is said in one line."""
    with pytest.raises(UnavailableError, match="no song"):
        evaluate(FakeModel(), [], {"m": QUICK})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"'strict' is unknown: use active or msdm"):
        evaluate(FakeModel(), [], {"m": QUICK}, protocol="strict")  # type: ignore[arg-type]


def write_songs(folder, *, labels=LABELS, rate=RATE, stems=True, silent=()):
    settings = Settings(labels, sample_rate=rate, chunk=CHUNK, hop=HOP, stems=stems)
    songs = [stems_of(seed, silent=[(seed % 2, 2, 5), *silent]) for seed in range(4)]
    write_split(folder, settings, [WholeTrack(f"T{n}", song) for n, song in enumerate(songs)])
    return open_split(folder)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return write_songs(tmp_path_factory.mktemp("data") / "test")


def test_songs_are_whole_tracks_with_their_stems(split):
    """As many as asked for, as long as asked for; the stems sum to the mixture."""
    songs = list(songs_of(split))
    assert [song.name for song in songs] == ["T0", "T1", "T2", "T3"]
    for song in songs:
        assert song.mixture.shape == (10 * RATE,)
        assert_allclose(song.stems.sum(0), song.mixture, atol=2.01 / 32768)
    few = list(songs_of(split, 2, seconds=1.5))
    assert [song.name for song in few] == ["T0", "T1"]
    assert_array_equal(few[1].stems, songs[1].stems[:, :3000])
    assert_array_equal(few[1].mixture, songs[1].mixture[:3000])


def test_songs_need_stems(tmp_path):
    """Training data has none: the message says which splits to use."""
    with pytest.raises(UnavailableError, match="holds no stems; evaluate on validation or test"):
        next(iter(songs_of(write_songs(tmp_path / "train", stems=False))))


def test_data_must_be_the_models(tmp_path, split):
    """Other labels, or labels in another order, or another rate, are refused by name."""
    model = Model(CONFIG)
    check_same(model, split)
    swapped = write_songs(tmp_path / "swapped", labels=("High", "Low"))
    with pytest.raises(ConfigError, match=r"labels High, Low are not the model's Low, High"):
        check_same(model, swapped)
    fast = write_songs(tmp_path / "fast", rate=4000)
    with pytest.raises(ConfigError, match=r"4000 Hz is not the model's 2000 Hz"):
        check_same(model, fast)


def test_static_spectra_come_from_mixtures(tmp_path):
    """One non-negative spectrum per class; each tone's power is in its own class."""
    split = write_songs(tmp_path / "train", stems=False)
    found = fit_static(split, windows=200, length=2048)
    assert found.spectra.shape == (2, 513)
    assert (found.spectra >= 0).all()
    assert (found.labels, found.sample_rate) == (LABELS, RATE)
    low = np.arange(513) * RATE / 1024 < 450
    shares = found.spectra[:, low].sum(1) / found.spectra.sum(1)
    assert shares[0] > 0.95
    assert shares[1] < 0.05


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)

    def draw(like):
        return jnp.asarray(rng.standard_normal(like.shape) / np.sqrt(like.shape[0]), like.dtype)

    return GMSDI(CONFIG, jax.tree.map(draw, Model(CONFIG).shapes))


def test_a_split_is_evaluated_and_saved(model, split, tmp_path):
    """From shards and a model to the scorecard, with the static filter where its file exists."""
    folder = split.folder
    static.save(tmp_path / STATIC, static.StaticFilter(np.ones((2, 513)), LABELS, RATE))
    told = []
    text = evaluate_split(
        model,
        folder,
        {"direct": QUICK},
        songs=2,
        spectra=tmp_path / STATIC,
        out=tmp_path / "out",
        on_progress=lambda *what: told.append(what),
    )
    assert told == [("T0", "direct"), ("T1", "direct")]
    assert "direct over static" in text
    assert (tmp_path / "out" / "scorecard.md").read_text() == text + "\n"
    without = evaluate_split(model, folder, {"direct": QUICK}, songs=1, spectra=tmp_path / "none")
    assert "static" not in without


def test_validation_score_is_the_mean_over_stems(model, split):
    """Mean SI-SDR improvement per stem where it sounds; the score is the mean of the stems'."""
    windows = fixed_windows(split, 2048, 5)
    presence = windows.presence.copy()
    presence[0, 1] = False
    windows = windows._replace(presence=presence)
    found = Validator(model.model, windows, QUICK, rows=2)(model.params)

    @jax.jit
    def answer(params, keys, mixture):
        prompts = prompts_for(model.model, params, LABELS)
        return separate(keys, model.model.denoiser(params), prompts, mixture, QUICK)

    keys = jax.vmap(jax.random.key)(jnp.arange(5))
    stems = answer(model.params, keys, jnp.asarray(windows.mixture))
    expected = {}
    for k, label in enumerate(LABELS):
        gains = [
            si_sdr(np.asarray(stems)[i, k, :, 0], windows.stems[i, k, :, 0])
            - si_sdr(windows.mixture[i, :, 0], windows.stems[i, k, :, 0])
            for i in range(5)
            if presence[i, k]
        ]
        expected[label] = np.mean(gains)
    assert list(found) == ["score", *LABELS]
    assert_allclose([found[label] for label in LABELS], list(expected.values()), atol=1e-3)
    assert_allclose(found["score"], np.mean(list(expected.values())), atol=1e-3)


@pytest.mark.filterwarnings("error")
def test_a_stem_that_never_sounds_does_not_spoil_the_score(model, split):
    """A class without a window has no score; the mean is over the others, so runs can be ranked."""
    windows: FixedWindows = fixed_windows(split, 2048, 2)
    windows = windows._replace(presence=windows.presence & np.array([True, False]))
    found = Validator(model.model, windows, QUICK)(model.params)
    assert np.isnan(found["High"])
    assert found["score"] == found["Low"]
