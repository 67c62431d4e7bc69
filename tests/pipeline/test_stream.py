"""Streams of audio through a separation: exact lengths, independent rows, constant memory."""

import tracemalloc
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.errors import ConfigError, NumericsError, UnavailableError
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.pipeline import (
    GMSDI,
    WindowSeparator,
    prompts_for,
    separate_blocks,
    stream,
)

RATE = 22050


def whole(separator, audio, rate=RATE, block=10_000, **options):
    """The stems ``[k t c]`` of a song that comes in blocks."""
    blocks = [audio[i : i + block] for i in range(0, len(audio), block)]
    parts = separate_blocks(separator, blocks, rate, audio.shape[1], **options)
    return np.concatenate(list(parts), axis=1)


def identity(k=2, window=4096, rows=2, rate=RATE):
    """A stand-in that answers ``mixture / k`` for each stem, and remembers what it was asked."""
    asked = []

    def separate(batch, first):
        asked.append((len(batch), first))
        return np.repeat(batch[:, None] / k, k, axis=1)

    config = SimpleNamespace(window=window, sample_rate=rate)
    separate_ = SimpleNamespace(
        model=SimpleNamespace(config=config), stems=tuple("ab"[:k]), rows=rows, asked=asked
    )

    class Separator(SimpleNamespace):
        def __call__(self, batch, first):
            return separate(batch, first)

    return Separator(**vars(separate_))


@pytest.mark.parametrize("frames", [1, 4095, 4096, 4097, 20_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_nothing_is_lost_on_the_way(song, frames, channels):
    """Cut into windows and joined again, a song is itself: every length, channel and block."""
    audio = song(frames, channels)
    stems = whole(identity(), audio)
    assert stems.shape == (2, frames, channels)
    assert_allclose(stems.sum(0), audio, atol=1e-6)
    assert_array_equal(whole(identity(), audio, block=777), stems)


@pytest.mark.parametrize("rate", [44100, 48000, 16000])
def test_other_rates_come_back_in_time(rate):
    """A tone within the model's band returns at the song's rate, length and phase."""
    t = np.arange(rate) / rate
    audio = (0.1 * np.sin(2 * np.pi * 440 * t))[:, None].astype(np.float32)
    stems = whole(identity(), audio, rate)
    assert stems.shape == (2, rate, 1)
    inner = slice(rate // 10, -rate // 10)
    assert_allclose(stems.sum(0)[inner], audio[inner], atol=1e-4)


def test_a_song_of_no_sample_at_the_models_rate(song):
    """Two samples at 96 kHz are none at 22.05 kHz: the stems are two zeros, not an error."""
    assert_array_equal(whole(identity(), song(2, 2), 96000), np.zeros((2, 2, 2)))


def test_windows_are_grouped_by_rows():
    """Both channels of a window are rows: four rows take two stereo windows at a time, in order."""
    separator = identity(rows=4)
    whole(separator, np.zeros((4096 + 3 * 3072, 2), np.float32))
    assert separator.asked == [(2, 0), (2, 2)]
    done = []
    whole(separator, np.zeros((4096 + 3 * 3072, 2), np.float32), on_window=done.append)
    assert done == [1, 2, 3, 4]


@pytest.mark.parametrize("overlap", [-0.1, 1.0])
def test_overlap_is_a_share(overlap):
    """A window cannot repeat all of the one before it."""
    with pytest.raises(ConfigError, match=f"overlap is {overlap}"):
        whole(identity(), np.zeros((10, 1), np.float32), overlap=overlap)


def test_memory_does_not_grow_with_the_song():
    """Ten times the song, the same peak: a few windows, however long the stream."""
    block = np.zeros((4096, 2), np.float32)

    def peak(count):
        separator = identity(k=2)
        blocks = (block for _ in range(count))
        tracemalloc.start()
        total = sum(part.shape[1] for part in separate_blocks(separator, blocks, 44100, 2))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total == 4096 * count
        return used

    short, long = peak(20), peak(200)
    window = 4096 * 2 * 4 * 2  # bytes of two stems of a stereo window
    assert long < short + window
    assert long < 25 * window


def test_rows_do_not_change_the_result(model, song):
    """One window per call or three: equal stems, for a last call that is only part full too."""
    audio, quick = song(20_000, 2), SeparationConfig(sigmas=(0.1,))
    one = whole(model.separator(None, quick, rows=1), audio)
    three = whole(model.separator(None, quick, rows=3), audio)
    assert_allclose(three, one, atol=2e-6)
    assert np.abs(one).max() > 0.01


def test_equal_channels_stay_equal(model, song):
    """Both channels of a window hear the same noise: mono as stereo gives stereo as mono."""
    mono = song(9000)
    config = SeparationConfig(method="project", steps=3, sigmas=(0.1,))
    stems = whole(model.separator(["Bass"], config, rows=2), np.repeat(mono, 2, 1))
    assert_allclose(stems[..., 0], stems[..., 1], atol=1e-6)
    assert_allclose(stems[..., :1], whole(model.separator(["Bass"], config), mono), atol=2e-6)


def test_compiling_ahead_changes_nothing(model, song):
    """`compile` only moves the waiting to another time."""
    audio, quick = song(5000), SeparationConfig(sigmas=(0.1,))
    ahead = model.separator(["Drums", "Bass"], quick)
    ahead.compile()
    assert_array_equal(whole(ahead, audio), whole(model.separator(["Drums", "Bass"], quick), audio))


def test_the_plan_is_known_before_anything_is_compiled(model):
    """On a CPU two windows per call, four texts each; guidance doubles the rows."""
    quick = SeparationConfig(sigmas=(0.1,))
    separator = model.separator(None, quick)
    assert str(separator.plan) == "1 device, 8 rows per call"
    assert separator.rows == 2
    guided = SeparationConfig(sigmas=(0.1,), guidance=2.0)
    assert model.separator(["Bass"], guided, rows=3).plan.rows == 3 * 2 * 2  # Bass and the rest
    assert model.separator(None, quick, rows=3, most=1).rows == 1


def test_as_many_windows_as_the_memory_holds(model, song, monkeypatch):
    """Asked for ``auto``, calls are measured; a song of five windows fits one; stems stay equal."""
    audio, quick = song(17_000), SeparationConfig(sigmas=(0.1,))
    separator = model.separator(None, quick, rows="auto", most=5)
    assert separator.rows == 5
    assert separator.plan.needed < separator.plan.limit
    assert_allclose(whole(separator, audio), whole(model.separator(None, quick), audio), atol=2e-6)
    monkeypatch.setattr("gmsdi_jax.distributed.call.free_bytes", lambda mesh: 1000)
    with pytest.raises(UnavailableError, match="one window needs") as error:
        model.separator(None, quick, rows="auto").compile()
    assert error.value.exit_code == 4


def test_nan_is_an_error_with_the_window(model, song):
    """Weights of NaN: the number of the window is named; exit code 70."""
    broken = GMSDI(model.model.config, jax.tree.map(lambda leaf: leaf * np.nan, model.params))
    separator = broken.separator(None, SeparationConfig(sigmas=(0.1,)))
    with pytest.raises(NumericsError, match="window 0") as error:
        whole(separator, song(1000))
    assert error.value.exit_code == 70


@pytest.fixture
def asked(model, monkeypatch):
    """Makes a separator and returns the texts that it asks the model for, in order."""

    def texts(stems, **options):
        seen = []
        original = stream.prompts_for

        def spy(model, params, stems, negative="", negatives=None):
            seen.append((list(stems), negative))
            return original(model, params, stems, negative, negatives)

        monkeypatch.setattr(stream, "prompts_for", spy)
        WindowSeparator(model.model, model.params, stems, SeparationConfig(), **options)
        monkeypatch.setattr(stream, "prompts_for", original)
        return seen[0]

    return texts


def test_texts_cover_the_mixture(asked):
    """What nobody asked for is one more text, the rest, and the last unless Drums are there."""
    assert asked(["Bass"])[0] == ["Bass", "Drums, Guitar, Piano"]
    assert asked(["piano", "Guitar"])[0] == ["piano", "Guitar", "Bass, Drums"]
    assert asked(["Drums", "Bass"])[0] == ["Bass", "Guitar, Piano", "Drums"]
    assert asked(["Drums", "Bass", "Guitar", "Piano"])[0][-1] == "Drums"
    assert asked(["Bass, Drums", "Guitar, Piano"])[0] == ["Bass, Drums", "Guitar, Piano"]
    assert asked(["Drums", "Bass"], constrained="bass")[0] == ["Drums", "Guitar, Piano", "Bass"]
    assert asked(["Bass"], negative="Drums")[1] == "Drums"


@pytest.mark.parametrize(
    ("stems", "options", "message"),
    [
        ([], {}, "name at least one stem; this model knows Bass, Drums, Guitar, Piano"),
        (["Bass", ""], {}, "'' is empty"),
        (["Bass", "Violin"], {}, "'violin' is unknown"),
        (["Bass", "bass"], {}, "'Bass' is asked for twice"),
        (["Bass", "Bass, Drums"], {}, "'Bass' is asked for twice"),
        (["Bass"], {"constrained": "Drums"}, "constrained stem 'Drums' is not among Bass"),
        (["Bass"], {"rows": 0}, "rows is 0"),
        (["Bass"], {"negatives": {"Drums": "Bass"}}, "negative of 'drums': it is not among Bass"),
    ],
)
def test_wishes_that_contradict_are_refused(model, stems, options, message):
    """Before anything is compiled, with the name and what there is."""
    with pytest.raises(ConfigError, match=message):
        model.separator(stems, SeparationConfig(), **options)


def test_negatives_are_told_to_their_stems(model):
    """A stem without one of its own keeps the null; names are found in any case."""
    prompts = prompts_for(
        model.model, model.params, ["Bass", "Drums"], negatives={"bass": "Drums, Piano"}
    )
    assert prompts.negatives is not None
    away = model.model.embed(model.params, model.model.prompt(["Drums, Piano"]))
    assert_array_equal(prompts.negatives.embedding[0], away.embedding[0])
    assert_array_equal(prompts.negatives.mask[1], prompts.null.mask[0])
    assert prompts_for(model.model, model.params, ["Bass"]).negatives is None


def test_another_seed_is_another_draw_of_the_same_program(model, song, monkeypatch):
    """Bit for bit that of a separator made with the seed, in windows and as one state; nothing is
    compiled for it."""
    config, audio = SeparationConfig(method="project", steps=3, sigmas=(0.1,)), song(9000)
    first = model.separator(["Bass", "Drums"], config, seed=0)
    before = whole(first, audio)
    traced, denoiser = [], model.model.denoiser
    monkeypatch.setattr(model.model, "denoiser", lambda p: traced.append(1) or denoiser(p))
    other = first.with_seed(5)
    found = whole(other, audio)
    assert not traced
    made = model.separator(["Bass", "Drums"], config, seed=5)
    assert_array_equal(found, whole(made, audio))
    assert np.abs(found - before).max() > 1e-4
    assert (first.seed, other.seed, other.plan) == (0, 5, first.plan)
    assert_array_equal(whole(first, audio), before)
    assert_array_equal(other.joined(audio, 0.5), made.joined(audio, 0.5))
