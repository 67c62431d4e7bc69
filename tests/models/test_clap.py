"""CLAP by what its parts must do; that it is the published network is shown in `tests/parity`."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from parity.clap_case import module, texts, waveforms
from parity.weights import draw

from gmsdi_jax.models.clap import (
    Clap,
    ClapConfig,
    CropsConfig,
    HtsatConfig,
    MelConfig,
    RobertaConfig,
    crops,
    log_mel,
    mean_direction,
)
from gmsdi_jax.models.clap.crops import even_starts
from gmsdi_jax.models.clap.htsat import from_windows, strangers, stretch, to_windows

# One stage of one pair of blocks on four windows, and one layer of text.
SMALL = ClapConfig(
    mel=MelConfig(sample_rate=8000, clip=3600, fft=128, hop=60, bands=4, high=3500.0),
    audio=HtsatConfig(side=16, features=8, depths=(2,), heads=(2,), window=2),
    text=RobertaConfig(vocabulary=50, positions=20, features=16, layers=1, heads=2, mlp=32),
    joint=12,
)
KEYED = CropsConfig(rule="keyed", count=3)
CLIP = SMALL.mel.clip


@pytest.fixture(scope="module")
def params():
    return jax.tree.map(jnp.asarray, draw(module(SMALL).shapes))


@pytest.fixture(scope="module")
def audio():
    """Embeddings of clips."""
    return jax.jit(lambda params, wave: module(SMALL).bind(params).audio(wave))


@pytest.fixture(scope="module")
def text():
    """Embeddings of texts."""
    return jax.jit(lambda params, ids, mask: module(SMALL).bind(params).text(ids, mask))


def test_frames_hear_what_is_around_them():
    """A frame does not change when the audio goes on, however hops and frames divide it."""
    wave = jnp.asarray(waveforms(SMALL))
    config = MelConfig(sample_rate=8000, fft=100, hop=35, bands=8, high=3500.0)
    mel = jax.jit(lambda wave: log_mel(wave, config))
    whole, part = mel(wave), mel(wave[:, :333])
    assert whole.shape == (2, 1 + SMALL.mel.clip // 35, 8)
    assert part.shape == (2, 1 + 333 // 35, 8)
    assert_allclose(part[:, :-1], whole[:, :9], atol=1e-4)
    assert np.abs(part[:, -1] - whole[:, 9]).max() > 1  # the last one reaches beyond the end


def test_silence_is_the_floor():
    """Not minus infinity."""
    mel = jax.jit(lambda wave: log_mel(wave, SMALL.mel))
    assert_array_equal(mel(jnp.zeros((1, 600))), np.full((1, 11, 4), -100))


@pytest.mark.parametrize("samples", [1001, 1999, 2000, 2001, 10_000])
def test_even_clips_cover_the_audio(samples):
    """From the first sample to the last without a gap, and with no clip too many."""
    starts = even_starts(samples, 1000)
    assert starts[0] == 0
    assert starts[-1] == samples - 1000
    assert (np.diff(starts) > 0).all()
    assert (np.diff(starts) <= 1000).all()
    assert (len(starts) - 1) * 1000 < samples


def test_keyed_clips_are_parts_of_the_audio(key):
    """The same for the same key, others for another, and any place can be drawn."""
    wave = jnp.arange(1005.0)
    clips = crops(wave, 1000, KEYED, key)
    assert_array_equal(clips, clips[:, :1] + jnp.arange(1000.0)[None])
    assert_array_equal(clips, crops(wave, 1000, KEYED, key))
    assert (clips != crops(wave, 1000, KEYED, jax.random.key(1))).any()
    many = crops(wave, 1000, dataclasses.replace(KEYED, count=40), key)
    assert set(np.asarray(many[:, 0])) == set(range(6))
    with pytest.raises(ValueError, match="need a key"):
        crops(wave, 1000, KEYED)


def test_a_clip_is_itself(key):
    """Under either rule, and to the last bit: nothing is cut, repeated or quantised."""
    wave = jnp.asarray(waveforms(SMALL)[0])
    for config in (CropsConfig(), KEYED):
        assert_array_equal(crops(wave, CLIP, config, key), wave[None])


def test_quantised_clips_lie_on_the_grid():
    """Of 16 bits, no further than a step from the audio."""
    wave = jnp.asarray(waveforms(SMALL)[0])
    clip = crops(wave, CLIP, CropsConfig(quantise=True))[0]
    steps = np.asarray(clip) * 32767
    assert_allclose(steps, np.round(steps), atol=2e-3)
    assert 0.5 < np.abs(clip - wave).max() * 32767 < 1.001


@pytest.mark.parametrize("config", [CropsConfig(), KEYED], ids=lambda config: config.rule)
def test_longer_audio_is_the_direction_of_its_clips(config, params, key, monkeypatch):
    """Each row by itself, with its own key; an embedding is here a clip's first samples."""
    monkeypatch.setattr(Clap, "audio", lambda self, clips: clips[:, :5])
    wave = jnp.tile(jnp.asarray(waveforms(SMALL)), (1, 3))[:, : 2 * CLIP + 500]
    keys = None if config.rule == "mean" else jax.random.split(key, 2)
    clap = module(dataclasses.replace(SMALL, crops=config)).bind(params)
    answer = clap.any_audio(wave, keys)
    for row in range(2):
        clips = crops(wave[row], CLIP, config, None if keys is None else keys[row])
        assert len(clips) == 3
        mean = np.asarray(clips[:, :5]).mean(0)
        assert_allclose(answer[row], mean / np.linalg.norm(mean), atol=1e-6)


def test_mean_of_opposites_is_finite():
    """Where there is no direction, zero."""
    assert_array_equal(mean_direction(jnp.array([[1.0, 0.0], [-1.0, 0.0]])), np.zeros(2))


def test_audio_of_another_length_is_refused(params):
    """One line that names both lengths."""
    with pytest.raises(ValueError, match=r"100 samples: a clip has 3600"):
        module(SMALL).bind(params).audio(jnp.zeros((1, 100)))


def test_embeddings_are_unit_vectors_that_differ(params, audio, text):
    """One per row."""
    ids, mask = map(jnp.asarray, texts(SMALL))
    for embedding in (audio(params, jnp.asarray(waveforms(SMALL))), text(params, ids, mask)):
        assert embedding.shape == (2, SMALL.joint)
        assert_allclose(np.linalg.norm(embedding, axis=1), 1, rtol=1e-6)
        assert np.abs(embedding[0] - embedding[1]).max() > 0.01


def test_padding_is_not_heard(params, text):
    """More of it changes nothing; the same tokens unmasked do; nothing else is no NaN."""
    ids, mask = map(jnp.asarray, texts(SMALL))
    answer = text(params, ids, mask)
    longer = jnp.pad(ids, ((0, 0), (0, 4)), constant_values=SMALL.text.pad)
    assert_allclose(text(params, longer, longer != SMALL.text.pad), answer, atol=1e-6)
    heard = text(params, ids, mask | True)
    assert np.abs(heard - answer)[1].max() > 1e-3
    assert np.isfinite(text(params, ids, mask & False)).all()


def test_weights_in_half_precision_are_close(params, audio, text):
    """The network computes in its weights' type, the spectrogram and the answer stay float32."""
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), params)
    assert jax.eval_shape(text, half, *texts(SMALL)).dtype == jnp.float32
    wave = jnp.asarray(waveforms(SMALL))
    answer = audio(half, wave)
    assert answer.dtype == jnp.float32
    assert 1e-5 < np.abs(answer - audio(params, wave)).max() < 0.05


def test_hearing_takes_no_gather(params, audio):
    """Which accelerators do slowly: all is cut by slices and reshapes."""
    program = audio.lower(params, jnp.asarray(waveforms(SMALL))).as_text()
    assert "dot_general" in program
    assert "gather" not in program


def test_windows_go_there_and_back():
    """Row by row of windows, row by row within."""
    square = jnp.arange(64.0).reshape(1, 8, 8, 1)
    windows = to_windows(square, 4)
    assert_array_equal(windows[0, 1, :, 0], np.arange(64).reshape(8, 8)[:4, 4:].ravel())
    assert_array_equal(from_windows(windows, 8), square)


def test_strangers_are_the_tokens_that_the_roll_brought_together():
    """Of a window of the rolled square, those that are further apart than a window before it."""
    side, window, shift = 8, 4, 2
    place = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1)
    rolled = np.roll(place, (-shift, -shift), (0, 1))[None].astype(np.float32)
    windows = np.asarray(to_windows(jnp.asarray(rolled), window))[0]
    apart = np.abs(windows[:, :, None] - windows[:, None]).max(-1) >= window
    assert 0 < apart.mean() < 1
    assert_array_equal(strangers(side, window, shift), np.where(apart, -100, 0))


def test_stretching_keeps_constants_and_ends():
    """Rows sum to one, the ends stay in place, and where nothing is to do, nothing is done."""
    matrix = stretch(1001, 1024)
    assert_allclose(matrix.sum(1), 1, atol=1e-6)
    assert_array_equal(matrix[[0, -1]], np.eye(1001)[[0, -1]])
    assert_array_equal(stretch(5, 5), np.eye(5))


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: HtsatConfig(depths=(2, 3), heads=(2, 2)), "even number"),
        (lambda: HtsatConfig(depths=(2, 2)), "one per stage"),
        (lambda: HtsatConfig(side=200), "no windows"),
        (lambda: HtsatConfig(heads=(3, 8, 16, 32)), "do not divide"),
        (lambda: RobertaConfig(heads=7), "do not divide"),
        (lambda: MelConfig(scale="bark"), "slaney or htk"),  # pyright: ignore
        (lambda: CropsConfig(rule="random"), "mean or keyed"),  # pyright: ignore
        (lambda: ClapConfig(mel=MelConfig(clip=960_000)), "2001 frames of 64 bands do not fold"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(make, complaint):
    with pytest.raises(ValueError, match=complaint):
        make()
