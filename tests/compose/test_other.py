"""A source that nobody named: the mixture's rest has somewhere to go."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.bands import BLOCK, bands
from oracles.gaussian import prior

from gmsdi_jax.compose import coloured, local_power, project, with_other
from gmsdi_jax.diffusion import euler_ancestral, initial_noise, karras, sample

SIZE = 256


def one(joint):
    """The denoiser of a single source ``[b t c]``."""
    return lambda x, sigma: joint(x[:, None], sigma)[:, 0]


def test_other_is_one_more_source(rng):
    """The named ones keep their denoiser, the last has its own: the joint prior of all."""
    variance = np.array([[0.04], [0.1], [0.01]]) * np.ones(50)
    x, sigma = jnp.asarray(rng.standard_normal((2, 3, 50, 1)), jnp.float32), jnp.asarray(0.3)
    joint = with_other(prior(variance[:2]), one(prior(variance[2:])))
    assert_allclose(joint(x, sigma), prior(variance)(x, sigma), rtol=1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("sigma", [0.03, 0.3, 3.0])
def test_coloured_is_tweedies_for_some_gaussian(sigma, rng):
    """Its answer is linear, symmetric, and shrinks: ``x + sigma^2 grad log p`` of a Gaussian p.

    Where the reference is white noise of unit power, p is white with `share` of it.
    """
    t = 96
    reference = jnp.asarray(rng.standard_normal((1, t, 1)) * np.linspace(0.01, 1, t)[:, None])
    prior_of = coloured(reference, 0.3, 32, 3, 3)
    rows = jnp.eye(t)[:, :, None]
    matrix = np.asarray(jax.vmap(lambda x: prior_of(x[None], jnp.asarray(sigma))[0])(rows))[..., 0]
    assert_allclose(matrix, matrix.T, atol=1e-12)
    shrinking = np.linalg.eigvalsh(matrix)
    assert shrinking.min() > -1e-12
    assert shrinking.max() < 1


@pytest.mark.parametrize("sigma", [0.03, 0.3, 3.0])
def test_coloured_is_a_wiener_filter_of_the_share(sigma, rng):
    """White noise of power 1 as the reference: ``share / (share + sigma^2)``, to the percents that
    smoothing leaves."""
    reference, x = jnp.asarray(rng.standard_normal((2, 1, 20_000, 1)), jnp.float32)
    found = coloured(reference, 0.3, SIZE, 15, 15)(x, jnp.asarray(sigma))
    gain = float((found * x).sum() / (x * x).sum())
    assert_allclose(gain, 0.3 / (0.3 + sigma**2), rtol=0.03)


def test_what_nobody_named_goes_to_other(rng):
    """Four coloured sources, the loudest unnamed. Projection on the other three blames them for it:
    their error is 1.86 of their power. With a quarter of the mixture's power as the prior of the
    other it is .67, against .57 with that source's own prior; the other has .87 of it right."""
    source = bands()
    stems = source.draw(rng, 2)
    mixture, named = stems.sum(1), stems[:, :3]
    three = source._replace(power=source.power[:3])
    grid, keys = karras(25, 1e-3), jax.random.split(jax.random.key(0), 2)

    def run(joint, k: int):
        denoise = project(joint, mixture, local_power(BLOCK))
        start = initial_noise(keys, grid[0], (k, *stems.shape[2:]))
        return jax.jit(lambda x: sample(keys, denoise, euler_ancestral, grid, x))(start)

    def error(found) -> float:
        return float(((found[:, :3] - named) ** 2).sum() / (named**2).sum())

    alone = run(three.denoise, 3)
    joined = run(with_other(three.denoise, coloured(mixture, 0.25, BLOCK)), 4)
    told = run(source.denoise, 4)
    assert_allclose(joined.sum(1), mixture, atol=1e-5)
    assert_allclose([error(alone), error(joined), error(told)], [1.86, 0.67, 0.57], atol=0.05)
    correlation = np.corrcoef(np.ravel(joined[:, 3]), np.ravel(stems[:, 3]))[0, 1]
    assert_allclose(correlation, 0.87, atol=0.02)
