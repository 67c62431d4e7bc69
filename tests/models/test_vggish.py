"""VGGish's front end against closed forms, and the choices that define a Fréchet audio distance.

That the network is the published one is shown in `tests/parity`.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.models.vggish import examples, log_mel


def test_silence_is_the_offset():
    """Nothing at all is log 0.01 in every band."""
    assert_allclose(log_mel(np.zeros(16000)), np.log(0.01), rtol=1e-6)


def test_tone_is_heard_in_its_band():
    """The band whose centre in mel is nearest to the tone is the loudest, by HTK's formula."""
    edges = np.linspace(1127 * np.log1p(125 / 700), 1127 * np.log1p(7500 / 700), 66)
    for hertz in (440.0, 1000.0, 4000.0):
        tone = 0.5 * np.sin(2 * np.pi * hertz * np.arange(16000) / 16000)
        loudest = int(log_mel(tone)[40].argmax())
        assert abs(edges[1 + loudest] - 1127 * np.log1p(hertz / 700)) <= (edges[1] - edges[0])


def test_twelve_seconds_are_twelve_examples():
    """262144 samples at 22.05 kHz, at 16 kHz: 1187 frames, 12 examples, the tail dropped."""
    mel = log_mel(np.zeros(round(2**18 * 16000 / 22050)))
    assert mel.shape == (1187, 64)
    assert examples(mel).shape == (12, 96, 64)
    assert examples(mel, hop=48).shape == (23, 96, 64)


def test_examples_follow_each_other():
    """Frame 96 opens the second example, frame 48 the second of overlapping ones."""
    mel = np.arange(300.0)[:, None] * np.ones((1, 64))
    assert_allclose(examples(mel)[:, 0, 0], [0, 96, 192])
    assert_allclose(examples(mel, 48)[:, 0, 0], [0, 48, 96, 144, 192])


def test_too_short_is_refused():
    """Less than 0.975 s is no example."""
    with pytest.raises(ValueError, match="15599 samples: VGGish hears at least 15600"):
        log_mel(np.zeros(15599))
    assert log_mel(np.zeros(15600)).shape == (96, 64)


def test_google_hears_a_second_every_half(rng):
    """Its FAD cuts 16000 samples every 8000, of which 96 frames are heard: a hop of 50 frames."""
    wave = 0.2 * rng.standard_normal(40000)
    blocks = examples(log_mel(wave), hop=50)
    assert len(blocks) == 4
    for i, block in enumerate(blocks):
        assert_array_equal(block, log_mel(wave[8000 * i : 8000 * i + 16000])[:96])


def test_audio_is_scaled_to_its_largest_sample(rng):
    """Not the largest magnitude, and at most tenfold, as in Google's FAD; only where wanted."""
    wave = np.maximum(0.2 * rng.standard_normal(16000), -0.3)
    heard = log_mel(wave, peak=True)
    assert_allclose(heard, log_mel(wave / wave.max()), atol=1e-6)
    assert_allclose(log_mel(0.4 * wave, peak=True), heard, atol=1e-6)
    assert_allclose(log_mel(-wave, peak=True), log_mel(-wave / 0.3), atol=1e-6)
    assert_allclose(log_mel(1e-3 * wave, peak=True), log_mel(1e-2 * wave), atol=1e-6)
    assert np.abs(log_mel(wave) - heard).max() > 0.1
