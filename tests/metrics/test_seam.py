"""The level of a seam: known for signals that were joined by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gmsdi_jax.audio import OverlapAdd, plan
from gmsdi_jax.errors import InputError
from gmsdi_jax.metrics.seam import seam_level

WINDOW, COUNT = 1024, 40
SEAMS = [512 * i + 256 + 512 for i in range(COUNT - 1)]  # half overlap: between two middles


def test_independent_windows_lose_three_decibels(rng):
    """White noise, window by window, half overlap: 1/2 and 1/2 in the middle, all of one beside."""
    joined = OverlapAdd(plan(WINDOW, 0.5))
    blocks = [joined.push(rng.standard_normal((WINDOW, 1))) for _ in range(COUNT)]
    audio = np.concatenate([*blocks, joined.finish(512 * (COUNT + 1))])[:, 0]
    middles = [512 * i + 256 for i in range(1, COUNT)]
    assert_allclose(seam_level(audio[512:-512], np.array(middles) - 512, 1), -3, atol=1.5)
    # All samples around every middle, against the rest: the mean of cos^4 + sin^4 over each half.
    near, far = (3 / 4 - 1 / (2 * np.pi)) / 1, (3 / 4 + 1 / (2 * np.pi)) / 1
    expected = 10 * np.log10(near / far)
    assert_allclose(seam_level(audio[512:-512], np.array(middles) - 512, 128), expected, atol=0.2)


def test_one_signal_has_no_seam(rng):
    """White noise that nobody cut: 0 dB, also of its differences."""
    noise = rng.standard_normal((3, 20_000))
    for difference in (0, 1, 2):
        assert abs(seam_level(noise, SEAMS, 64, difference)) < 0.2


def test_a_jump_shows_in_the_difference():
    """A slow wave that restarts at the seams: hardly in its level, plainly in its differences."""
    t = np.arange(4000)
    wave = np.sin(2 * np.pi * (t % 1000) / 3000)
    assert abs(seam_level(wave, [1000, 2000, 3000], 20)) < 3
    assert seam_level(wave, [1000, 2000, 3000], 20, difference=2) > 20


@pytest.mark.parametrize(("seams", "reach"), [([], 3), ([50], 100)])
def test_nothing_to_compare_is_an_error(seams, reach):
    """Without a seam, or without an inside."""
    with pytest.raises(InputError, match="leave nothing to compare"):
        seam_level(np.ones(100), seams, reach)
