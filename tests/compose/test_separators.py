"""How far separators are from the exact posterior when their priors are perfect.

Four Gaussian sources, their spectra spread by 10 dB over 256 bins. *Bias* is the rms error of the
samples' mean in units of the rms posterior deviation. All moments are exact: no random numbers.
The paper's Separator (`dirac`) keeps a bias that no number of steps removes; projection with the
posterior covariance does not have it, and needs a tenth of the steps.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.gaussian import (
    Moments,
    bias,
    by_covariance,
    completed,
    moments,
    posterior,
    prior,
    spectra,
    white,
)

from gmsdi_jax.compose import dirac, project, uniform
from gmsdi_jax.diffusion import churn, euler, euler_ancestral, heun, karras, resample

pytestmark = pytest.mark.usefixtures("x64")

V = spectra()
K, BINS = V.shape


def by_dirac(step, n: int) -> Moments:
    start = white(K - 1, BINS, 1.0)
    return completed(moments(step, lambda y: dirac(prior(V), y), karras(n), start))


def by_projection(step, n: int, allocate=None) -> Moments:
    rule = by_covariance(V) if allocate is None else allocate
    return moments(step, lambda y: project(prior(V), y, rule), karras(n), white(K, BINS, 1.0))


def spread(found: Moments) -> float:
    """The samples' variance over the posterior's, both averaged over bins."""
    exact = posterior(V).covariance
    return float(np.einsum("kkt->", found.covariance) / np.einsum("kkt->", exact))


def test_dirac_keeps_its_bias_however_many_steps():
    """Euler-ancestral: .54 at 150 steps, .53 at 600; the ODE .83; 10 steps diverge."""
    assert_allclose(bias(by_dirac(euler_ancestral, 150), V), 0.54, atol=0.02)
    assert_allclose(bias(by_dirac(euler_ancestral, 600), V), 0.53, atol=0.02)
    assert_allclose(bias(by_dirac(euler, 150), V), 0.83, atol=0.02)
    assert bias(by_dirac(euler_ancestral, 10), V) > 10


def test_dirac_comes_closer_with_churn_and_resampling():
    """MSDM's loop: churn 20 alone .37, with 2 resamples .20, churn 40 with 2 resamples .14."""
    found = [
        bias(by_dirac(resample(churn(euler, s_churn, 150), times), 150), V)
        for s_churn, times in [(20, 1), (20, 2), (40, 2)]
    ]
    assert_allclose(found, [0.37, 0.20, 0.14], atol=0.02)


@pytest.mark.parametrize(("steps", "under"), [(10, 0.48), (25, 0.73), (150, 0.95)])
def test_projection_by_covariance_is_unbiased_from_few_steps(steps, under):
    """Bias .01 at every number of steps; few steps make the samples keep to the mean."""
    found = by_projection(euler_ancestral, steps)
    assert bias(found, V) < 0.03
    assert_allclose(spread(found), under, atol=0.02)
    assert_allclose(found.gain.sum(0), np.ones(BINS), atol=1e-6)  # the stems sum to the mixture
    assert_allclose(found.covariance.sum(1), np.zeros((K, BINS)), atol=1e-6)


def test_projection_keeps_a_bias_only_where_it_has_no_noise():
    """ODE .12: its start at sigma 1 is not the exact state there, and nothing forgets it."""
    assert_allclose(bias(by_projection(euler, 150), V), 0.12, atol=0.02)
    assert_allclose(bias(by_projection(heun, 75), V), 0.12, atol=0.02)


def test_uniform_projection_is_consistent_but_wrong():
    """Its stems sum to the mixture; its bias is .73, worse than the paper's Separator."""
    found = by_projection(euler_ancestral, 150, uniform)
    assert_allclose(found.gain.sum(0), np.ones(BINS), atol=1e-6)
    assert_allclose(bias(found, V), 0.73, atol=0.02)


@pytest.mark.parametrize("b", [0.1, 0.01])
@pytest.mark.parametrize(("step", "n"), [(euler, 3000), (heun, 400)], ids=["euler", "heun"])
def test_dirac_ode_of_two_is_the_amplitude_mask(step, n, b):
    """Variances a = 1 and b: ``sqrt a / (sqrt a + sqrt b) y`` without variance, not Wiener's."""
    v = np.array([[1.0], [b]])
    grid, start = karras(n, sigma_max=20.0), white(1, 1, 400.0)
    found = completed(moments(step, lambda y: dirac(prior(v), y), grid, start))
    assert_allclose(found.gain[0, 0], 1 / (1 + np.sqrt(b)), atol=2e-3)
    assert_allclose(found.covariance, np.zeros((2, 2, 1)), atol=1e-3)
    assert abs(posterior(v).gain[0, 0] - found.gain[0, 0]) > 0.05


@pytest.mark.parametrize("b", [0.1, 0.01])
def test_dirac_sde_of_two_is_its_closed_form(b):
    """Euler-ancestral tends to the reverse SDE: mean ``(b ln b + 1 - b) / (1 - b)^2`` of y.

    Its variance is ``b^2 integral ds / ((1 + s)(b + s))^2``; at a = 1, b = .1 the mean is .827, the
    variance .0726, where the posterior has .909 and .0909.
    """
    v = np.array([[1.0], [b]])
    grid, start = karras(3000, sigma_max=20.0), white(1, 1, 400.0)
    found = moments(euler_ancestral, lambda y: dirac(prior(v), y), grid, start)
    # The integral, by partial fractions.
    area = ((1 + b) / b + 2 * np.log(b) / (1 - b)) / (1 - b) ** 2
    assert_allclose(found.gain[0, 0], (1 - b + b * np.log(b)) / (1 - b) ** 2, atol=1e-3)
    assert_allclose(found.covariance.item(), b**2 * area, rtol=0.01)
    assert_allclose(jnp.asarray(posterior(v).gain[:, 0]), [1 / (1 + b), b / (1 + b)])
