"""Silence by the second, and the standard's own level: a sine at full scale is at -3 LUFS."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gmsdi_jax.metrics.loudness import integrated_loudness, silence_fraction

RATE = 48000


def sine(seconds, level_db=0.0, hertz=997.0):
    return 10 ** (level_db / 20) * np.sin(2 * np.pi * hertz * np.arange(seconds * RATE) / RATE)


@pytest.mark.parametrize("level", [0.0, -20.0, -37.0])
def test_a_sine_in_one_channel(level):
    """ITU-R BS.1770-4: 997 Hz at 0 dBFS in one channel reads -3.01 LUFS; meters may err by 0.1."""
    assert_allclose(integrated_loudness(sine(5, level), RATE), level - 3.01, atol=0.1)


def test_what_has_no_loudness():
    assert integrated_loudness(np.zeros(RATE), RATE) == -np.inf
    assert np.isnan(integrated_loudness(sine(1)[: RATE // 4], RATE))


def test_silence_by_the_second():
    """A sine has -3 dB of its peak as RMS, so the gate of -47 dBFS lies at -43.9 dBFS of peak."""
    parts = [sine(1), np.zeros(RATE), sine(1, -43.0), sine(1, -45.0), np.zeros(RATE // 2)]
    assert_allclose(silence_fraction(np.concatenate(parts), RATE), 2.5 / 4.5)
    assert silence_fraction(np.zeros(10), RATE) == 1
    assert silence_fraction(np.ones(10), RATE) == 0


def test_a_click_does_not_sound_a_second():
    """One sample of full scale in a second: RMS -46.8 dBFS at 48000 Hz, just heard; half, not."""
    click = np.zeros(RATE)
    click[7] = 1
    assert silence_fraction(click, RATE) == 0
    assert silence_fraction(click / 2, RATE) == 1
