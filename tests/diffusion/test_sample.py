"""The sampling loop: which levels and keys a step is given, and where it starts."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.diffusion import euler, euler_ancestral, initial_noise, karras, sample
from gmsdi_jax.diffusion.steps import window_noise


def shrink(x, sigma):
    """The denoiser of unit Gaussian data."""
    return x / (1 + sigma**2)


def test_start_is_white_noise_at_the_level(key):
    """Variance sigma^2, one independent window per key, the dtype asked for."""
    keys = jax.random.split(key, 2)
    x = np.asarray(initial_noise(keys, jnp.asarray(3.0), (2, 50_000, 1)))
    assert x.shape == (2, 2, 50_000, 1)
    assert x.dtype == np.float32
    covariance = np.cov(x.reshape(4, -1))
    assert_allclose(covariance, 9 * np.eye(4), atol=9 * 5 * math.sqrt(2 / 50_000))


def test_loop_walks_down_the_grid():
    """Every neighbouring pair of levels once, in order."""
    grid = karras(7, 1e-2, 2.0)

    def record(keys, denoise, x, sigma, sigma_next):
        at = x[0, 0].astype(int)
        return x.at[0, at + 1].set(sigma).at[1, at + 1].set(sigma_next).at[0, 0].add(1)

    keys = jax.random.split(jax.random.key(0), 2)
    seen = sample(keys, shrink, record, grid, jnp.zeros((2, 8)))
    assert_array_equal(seen[0, 1:], grid[:-1])
    assert_array_equal(seen[1, 1:], grid[1:])


def test_every_step_and_window_has_its_own_noise(key):
    """Start and steps of two windows draw uncorrelated noise from their keys."""
    n, keys = 20_000, jax.random.split(key, 2)
    grid = jnp.array([3.0, 2.0, 1.0, 0.0])

    def record(keys, denoise, x, sigma, sigma_next):
        return x.at[:, sigma_next.astype(int)].set(window_noise(keys, x[:, 0]))

    start = jnp.zeros((2, 4, n)).at[:, 3].set(initial_noise(keys, jnp.asarray(1.0), (n,)))
    noises = np.asarray(jax.jit(lambda start: sample(keys, shrink, record, grid, start))(start))
    assert_allclose(np.corrcoef(noises.reshape(8, n)), np.eye(8), atol=5 / math.sqrt(n))


def test_sampler_is_compilable_and_maps_over_keys(key):
    """Under jit, vmap over songs is a loop over songs, to rounding."""
    grid = karras(6, 1e-2, 1.0)
    keys = jax.random.split(key, (3, 2))

    def song(keys):
        start = initial_noise(keys, grid[0], (4, 1))
        return sample(keys, shrink, euler_ancestral, grid, start)

    compiled = jax.jit(song)
    one_by_one = np.stack([compiled(k) for k in keys])
    assert_allclose(jax.jit(jax.vmap(song))(keys), one_by_one, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("x64")
def test_grid_takes_the_dtype_of_the_state(key):
    """A float32 state stays float32 beside a float64 grid."""
    x = jnp.ones((1, 4), jnp.float32)
    assert sample(key[None], shrink, euler, karras(4), x).dtype == jnp.float32
