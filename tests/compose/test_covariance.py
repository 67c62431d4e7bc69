"""Projection with the denoiser's own covariance: exact after enough conjugate gradients, good soon.

The covariance is ``sigma^2 dD_k/dx``, from Jacobian products; no matrix is ever written down. Here
they are: against the noisy posterior's mean, by linear algebra on dense matrices.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import scale_mixture
from oracles.gaussian import by_covariance, prior, spectra

from gmsdi_jax.compose import project, project_by_covariance, uniform
from gmsdi_jax.types import Denoiser

B, K, T = 2, 3, 6
pytestmark = pytest.mark.usefixtures("x64")


@pytest.fixture
def covariances(rng) -> np.ndarray:
    """Of each source over its samples, ``[k t t]``: no two samples are independent."""
    roots = rng.standard_normal((K, T, T)) / 2
    return roots @ roots.swapaxes(1, 2) + 0.01 * np.eye(T)


@pytest.fixture
def x(x64, rng) -> jax.Array:
    return jnp.asarray(rng.standard_normal((B, K, T, 1)))


@pytest.fixture
def mixture(x64, rng) -> jax.Array:
    return jnp.asarray(rng.standard_normal((B, T, 1)))


def coloured_prior(covariances: np.ndarray) -> Denoiser:
    """The joint denoiser of Gaussian sources with these covariances over samples."""
    s = jnp.asarray(covariances)

    def denoise(x, sigma):
        gain = s @ jnp.linalg.inv(s + sigma**2 * jnp.eye(T, dtype=x.dtype)[None])
        return jnp.einsum("kij,bkjc->bkic", gain, x)

    return denoise


def noisy_posterior_mean(s: np.ndarray, mixture, x, sigma: float) -> np.ndarray:
    """``E[clean | x, y]``: the clean sources given y are ``N(m, V)``; x is them plus noise.

    By conditioning: ``m + V (V + sigma^2)^-1 (x - m)`` with the dense V of all sources' samples.
    """
    total = np.linalg.inv(s.sum(0))
    joint = np.einsum("kij,kl->kilj", s, np.eye(K)) - np.einsum("kij,jm,lmn->kiln", s, total, s)
    v = joint.reshape(K * T, K * T)
    m = np.einsum("kij,jl,blc->bkic", s, total, mixture)
    pull = v @ np.linalg.inv(v + sigma**2 * np.eye(K * T))
    return m + (pull @ (np.asarray(x) - m).reshape(B, K * T, 1)).reshape(B, K, T, 1)


@pytest.mark.parametrize("sigma", [0.05, 0.4, 2.0])
def test_as_many_iterations_as_samples_are_exact(sigma, covariances, x, mixture):
    """Conjugate gradients of T steps solve T equations: the posterior's own denoiser, to 1e-8."""
    denoise = project_by_covariance(coloured_prior(covariances), mixture, iterations=T)
    expected = noisy_posterior_mean(covariances, mixture, x, sigma)
    assert_allclose(denoise(x, jnp.asarray(sigma)), expected, rtol=0, atol=1e-8)


def test_a_few_iterations_do_most_of_it(rng):
    """256 bins of spectra spread by 10 dB, at sigma .1: .22, .12, .05, .014 of the even split's
    error are left after 1, 2, 4, 8 iterations."""
    v, sigma = spectra(), jnp.asarray(0.1)
    x = jnp.asarray(np.sqrt(v + 0.01)[None, ..., None] * rng.standard_normal((1, *v.shape, 1)))
    mixture = jnp.asarray(np.sqrt(v.sum(0))[None, :, None] * rng.standard_normal((1, 256, 1)))
    exact = project(prior(v), mixture, by_covariance(v))(x, sigma)
    left = []
    for iterations in (0, 1, 2, 4, 8):
        found = project_by_covariance(prior(v), mixture, iterations)(x, sigma)
        assert_allclose(found.sum(1), mixture, rtol=0, atol=1e-12)  # consistent all the same
        left.append(float(jnp.linalg.norm(found - exact)))
    assert_allclose(np.divide(left[1:], left[0]), [0.22, 0.12, 0.05, 0.014], rtol=0.1)


def test_no_iteration_splits_evenly(covariances, x, mixture):
    """What is not solved goes to all alike: none solved is uniform projection."""
    joint, sigma = coloured_prior(covariances), jnp.asarray(0.4)
    found = project_by_covariance(joint, mixture, iterations=0)(x, sigma)
    assert_allclose(found, project(joint, mixture, uniform)(x, sigma), rtol=1e-12)


@pytest.mark.parametrize("sigma", [1e-3, 0.1, 3.0])
def test_nonlinear_denoiser_is_split_by_its_covariance(sigma, rng):
    """Sparse sources, one bin per window: one iteration gives the split by their variances."""
    bins = scale_mixture.draw(rng, 500)
    noisy = bins + sigma * rng.standard_normal(bins.shape)
    x = jnp.asarray(noisy.T[:, :, None, None])
    mixture = jnp.asarray(bins.sum(0)[:, None, None])
    found = project_by_covariance(scale_mixture.denoise, mixture, 1)(x, jnp.asarray(sigma))
    expected = scale_mixture.project_by_covariance(mixture)(x, jnp.asarray(sigma))
    assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 0.0])
def test_a_window_does_not_hear_its_neighbours(scale, covariances, x, mixture):
    """Loud, soft or silent: each window has step sizes of its own, and a solved one rests."""
    joint, sigma = coloured_prior(covariances), jnp.asarray(0.4)
    levels = jnp.asarray([1.0, scale])
    x, mixture = x * levels[:, None, None, None], mixture * levels[:, None, None]
    together = project_by_covariance(joint, mixture, 3)(x, sigma)
    for i in range(B):
        alone = project_by_covariance(joint, mixture[i : i + 1], 3)(x[i : i + 1], sigma)
        assert_allclose(together[i : i + 1], alone, rtol=1e-12, atol=1e-15)
    if scale == 0:
        assert_array_equal(together[1], np.zeros((K, T, 1)))


def test_more_iterations_than_needed_do_no_harm(covariances, x, mixture):
    """After the last step that moves anything, rounding moves nothing either."""
    joint, sigma = coloured_prior(covariances), jnp.asarray(0.4)
    expected = noisy_posterior_mean(covariances, mixture, x, 0.4)
    for iterations in (2 * T, 50):
        found = project_by_covariance(joint, mixture, iterations)(x, sigma)
        assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_float32_stays_float32_and_consistent(covariances, x, mixture):
    """At the lowest level of MSDM's grid, where the covariance is 1e-8 of full scale."""
    x, mixture = x.astype(jnp.float32), mixture.astype(jnp.float32)
    joint = coloured_prior(covariances.astype(np.float32))
    found = project_by_covariance(joint, mixture, 4)(x, jnp.asarray(1e-4, jnp.float32))
    assert found.dtype == jnp.float32
    assert_allclose(found.sum(1), mixture, rtol=0, atol=1e-5)
