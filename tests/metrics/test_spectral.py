"""The STFT distance where its value is known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gmsdi_jax.metrics.spectral import FLOOR, stft_distance


@pytest.fixture
def noise(rng):
    return (0.1 * rng.standard_normal((2, 30_011))).astype(np.float32)


def test_equal_signals_and_turned_ones_have_no_distance(noise):
    assert_allclose(stft_distance(noise, noise), 0, atol=1e-6)
    assert_allclose(stft_distance(-noise, noise), 0, atol=1e-6)


@pytest.mark.parametrize("gain", [0.5, 0.9, 1.5])
def test_a_gain_costs_what_its_two_terms_say(noise, gain):
    """But for the few bins of white noise that lie below the floor."""
    assert_allclose(
        stft_distance(gain * noise, noise), abs(1 - gain) + abs(np.log(gain)), rtol=5e-3
    )


def test_silence_costs_one_and_all_the_nepers_down_to_the_floor(rng):
    """|X|^2 of white noise is exponential: the mean of its logarithm is -0.5772 (Euler)."""
    noise = (0.1 * rng.standard_normal((1, 300_000))).astype(np.float32)
    got = stft_distance(np.zeros_like(noise), noise)
    assert_allclose(got, 1 + np.log(0.1 / FLOOR) - 0.5772 / 2, atol=0.02)


def test_one_wrong_stem_does_not_touch_another_and_silence_has_no_distance(noise):
    references = np.stack([noise[0], np.zeros_like(noise[0])])
    got = stft_distance(noise, references)
    assert_allclose(got[0], 0, atol=1e-6)
    assert np.isnan(got[1])


def test_a_signal_shorter_than_a_frame_is_compared(rng):
    short = rng.standard_normal((1, 100))
    assert_allclose(stft_distance(short, short), 0, atol=1e-6)
    assert stft_distance(2 * short, short)[0] > 1


def test_what_is_read_at_a_time_does_not_matter(noise, monkeypatch):
    whole = stft_distance(0.3 * noise[::-1], noise)
    monkeypatch.setattr("gmsdi_jax.metrics.spectral._FRAMES", 7)
    assert_allclose(stft_distance(0.3 * noise[::-1], noise), whole, rtol=1e-6)
