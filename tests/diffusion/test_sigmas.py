"""Grids of noise levels end where their papers say, and training levels have MSDM's numbers."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_less

from gmsdi_jax.diffusion import GRIDS, karras, lognormal


@pytest.mark.parametrize("steps", [2, 10, 150, 600])
@pytest.mark.parametrize("rho", [1.0, 7.0, 9.0])
def test_grid_falls_from_the_highest_level_to_the_lowest_and_then_to_zero(steps, rho):
    """``steps`` solver steps: steps + 1 levels, the last two sigma_min and exactly 0."""
    grid = karras(steps, 1e-4, 3.0, rho)
    assert grid.shape == (steps + 1,)
    assert grid.dtype == jnp.float32
    # Float32 rounds sigma^(1/rho) to 1e-7; with rho = 1 that is 1e-7 of 3.0, 0.3 % of sigma_min.
    assert_allclose(grid[jnp.array([0, -2, -1])], [3.0, 1e-4, 0.0], rtol=1e-5, atol=3e-7)
    assert grid[-1] == 0
    assert_array_less(grid[1:], grid[:-1])


def test_grid_without_zero_ends_at_the_lowest_level():
    """audio-diffusion-pytorch's convention: the same levels without the last, one step fewer."""
    assert_allclose(karras(20, to_zero=False), karras(20)[:-1], rtol=0)


def test_grid_is_msdms():
    """150 levels of 1e-4 .. 1 with rho 7, as MSDM's separation draws them, then 0."""
    steps, low, high, rho = 150, 1e-4, 1.0, 7.0
    expected = [
        (high ** (1 / rho) + i / (steps - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho
        for i in range(steps)
    ]
    assert_allclose(karras(150), [*expected, 0.0], rtol=1e-5)
    assert_allclose(karras(150, rho=1.0)[75], 1 + 75 / 149 * (1e-4 - 1), rtol=1e-5)


PUBLISHED = {
    "msdm": ([1.0, 1e-4, 0.0], 7),
    "msdm-generation": ([20.0, 1e-4, 0.0], 7),
    "adp": ([3.0, 1e-4], 9),
    "edm": ([80.0, 2e-3, 0.0], 7),
}


@pytest.mark.parametrize("name", GRIDS)
def test_published_grids_have_their_numbers(name):
    """Their ends, and that ``sigma^(1/rho)`` falls in equal steps from one to the other."""
    ends, rho = PUBLISHED[name]
    grid = np.asarray(karras(50, **GRIDS[name]), np.float64)
    assert_allclose(grid[[0, *range(49, len(grid))]], ends, rtol=1e-5)
    falls = np.diff(grid[:50] ** (1 / rho))
    assert_allclose(falls, np.full(49, falls.mean()), rtol=1e-3)


@pytest.mark.parametrize(
    ("steps", "low", "high"),
    [(1, 0.1, 1), (0, 0.1, 1), (9, 0, 1), (9, -1, 1), (9, 1, 1), (9, 2, 1)],
)
def test_grid_refuses_levels_that_do_not_fall(steps, low, high):
    """Fewer than two steps, or not ``0 < sigma_min < sigma_max``."""
    with pytest.raises(ValueError, match="sigma_min < sigma_max"):
        karras(steps, low, high)


def test_training_levels_are_lognormal(key):
    """``ln sigma`` has mean -3 and deviation 1; 0.13 % of the levels are above 1."""
    n = 200_000
    levels = np.log(np.asarray(lognormal(key, (n,)), np.float64))
    assert_allclose(levels.mean(), -3, atol=5 / math.sqrt(n))
    assert_allclose(levels.std(), 1, atol=5 / math.sqrt(2 * n))
    above = math.erfc(3 / math.sqrt(2)) / 2
    assert_allclose((levels > 0).mean(), above, atol=5 * math.sqrt(above / n))
    other = lognormal(jax.random.key(1), (3, 2), mean=1.0, std=0.0)
    assert_allclose(other, np.full((3, 2), math.e), rtol=1e-6)
