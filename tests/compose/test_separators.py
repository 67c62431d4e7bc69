"""How far separators are from the exact posterior when their priors are perfect.

Four Gaussian sources, their spectra spread by 10 dB over 256 bins. *Bias* is the rms error of the
samples' mean in units of the rms posterior deviation. All moments are exact: no random numbers.
The paper's Separator (`dirac`) keeps a bias that no number of steps removes; projection with the
posterior covariance does not have it, and needs a tenth of the steps. What `dirac` tends to is in
`test_dirac`; the whole table in `docs/oracles.md`.
"""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.gaussian import (
    Moments,
    bias,
    by_covariance,
    completed,
    covariance_error,
    deviations,
    moments,
    noisy,
    posterior,
    prior,
    sdr,
    spectra,
    spread_ratio,
    white,
)

from gmsdi_jax.compose import dirac, gaussian, project, proportional, uniform
from gmsdi_jax.diffusion import (
    adpm2,
    churn,
    daps,
    dpmpp_2m,
    euler,
    euler_ancestral,
    heun,
    karras,
    resample,
)

pytestmark = pytest.mark.usefixtures("x64")

V = spectra()
K, BINS = V.shape


def by_dirac(step, n: int) -> Moments:
    start = white(K - 1, BINS, 1.0)
    return completed(moments(step, lambda y: dirac(prior(V), y), karras(n), start))


def by_projection(step, n: int, allocate=None, start: Moments | None = None) -> Moments:
    rule = by_covariance(V) if allocate is None else allocate
    start = white(K, BINS, 1.0) if start is None else start
    return moments(step, lambda y: project(prior(V), y, rule), karras(n), start)


def assert_consistent(found: Moments) -> None:
    """All stems sum to the mixture, in every draw."""
    assert_allclose(found.gain.sum(0), np.ones(BINS), atol=1e-6)
    assert_allclose(found.covariance.sum(1), np.zeros((K, BINS)), atol=1e-6)


def test_dirac_keeps_its_bias_however_many_steps():
    """Euler-ancestral: .54 at 150 steps, .53 at 600; the ODE .83; 10 steps diverge."""
    assert_allclose(bias(by_dirac(euler_ancestral, 150), V), 0.54, atol=0.02)
    assert_allclose(bias(by_dirac(euler_ancestral, 600), V), 0.53, atol=0.02)
    assert_allclose(bias(by_dirac(euler, 150), V), 0.83, atol=0.02)
    assert bias(by_dirac(euler_ancestral, 10), V) > 10


@pytest.mark.parametrize(
    ("step", "rest"), [(heun, 0.82), (dpmpp_2m, 0.82), (adpm2(), 0.52)], ids=["heun", "2m", "adpm2"]
)
def test_higher_order_takes_dirac_to_the_wrong_answer_faster(step, rest):
    """Euler's ODE ends at .824, Heun's and DPM++'s at .823; adpm2 where Euler-ancestral ends."""
    assert_allclose(bias(by_dirac(step, 150), V), rest, atol=0.01)


def test_dirac_comes_closer_with_churn_and_resampling():
    """MSDM's loop: churn 20 alone .37, with 2 resamples .20, churn 40 with 2 resamples .14."""
    found = [
        bias(by_dirac(resample(churn(euler, s_churn, 150), times), 150), V)
        for s_churn, times in [(20, 1), (20, 2), (40, 2)]
    ]
    assert_allclose(found, [0.37, 0.20, 0.14], atol=0.02)


@pytest.mark.parametrize(("steps", "under"), [(10, 0.48), (25, 0.73), (150, 0.95)])
def test_projection_by_covariance_is_unbiased_from_few_steps(steps, under):
    """Bias .010 at every number of steps; few steps make the samples keep to the mean."""
    found = by_projection(euler_ancestral, steps)
    assert bias(found, V) < 0.02
    assert_allclose(spread_ratio(found, V), under, atol=0.02)
    assert_consistent(found)


def test_projection_by_covariance_has_the_posteriors_covariance():
    """At 150 steps, relative to the covariance: ancestral .05, adpm2 .001."""
    assert covariance_error(by_projection(euler_ancestral, 150), V) < 0.06
    assert covariance_error(by_projection(adpm2(), 150), V) < 0.005


@pytest.mark.parametrize("step", [euler, heun, dpmpp_2m], ids=["euler", "heun", "dpmpp_2m"])
def test_projection_keeps_a_bias_only_where_it_has_no_noise(step):
    """ODE .12: its start at sigma 1 is not the exact state there, and nothing forgets it.

    From the exact state the same solvers are right.
    """
    assert_allclose(bias(by_projection(step, 150), V), 0.12, atol=0.02)
    mended = by_projection(step, 150, start=noisy(posterior(V), 1.0))
    assert bias(mended, V) < 0.005
    assert covariance_error(mended, V) < (0.15 if step is euler else 0.005)


@pytest.mark.parametrize("steps", [5, 10, 25, 150])
def test_daps_by_covariance_is_exact_from_few_steps(steps):
    """From 5 steps on: bias < .005, covariance < .005, whatever the start."""
    found = by_projection(daps(deviations(V)), steps)
    assert bias(found, V) < 0.005
    assert covariance_error(found, V) < 0.005
    assert_consistent(found)


def test_daps_keeps_an_exact_state_exact():
    """Its step maps the noisy posterior at one level to that at the next, without error."""
    found = by_projection(daps(deviations(V)), 3, start=noisy(posterior(V), 1.0))
    assert bias(found, V) < 1e-9
    assert covariance_error(found, V) < 1e-9


def test_uniform_projection_is_consistent_but_wrong():
    """Its stems sum to the mixture; its bias is .73, worse than the paper's Separator."""
    found = by_projection(euler_ancestral, 150, uniform)
    assert_allclose(bias(found, V), 0.73, atol=0.02)
    assert_consistent(found)


@pytest.mark.parametrize(("factor", "expected"), [(1.0, 0.27), (0.5, 0.29)])
def test_gaussian_likelihood_is_worse_than_dirac(factor, expected):
    """MSDM's gamma, .75 sigma, its factor 1/2 and the Gaussian's 1, both with MSDM's sampler."""
    step = resample(churn(euler, 20, 150), 2)
    observed = lambda y: gaussian(prior(V), y, proportional(0.75), factor)  # noqa: E731
    found = moments(step, observed, karras(150), white(K, BINS, 1.0))
    assert_allclose(bias(found, V), expected, atol=0.02)
    assert bias(found, V) > bias(by_dirac(step, 150), V)


@pytest.mark.parametrize("draws", [1, 2, 4, 8, math.inf])
def test_averaging_law(draws):
    """Of an exact sampler: the mean of N draws has ``SDR_inf - 10 log10(1 + 1/N)``."""
    found = by_projection(daps(deviations(V)), 10)
    best = sdr(posterior(V), V, math.inf)
    assert_allclose(sdr(found, V, draws), best - 10 * np.log10(1 + 1 / draws), atol=0.01)
