"""Coupled sources: the sign that each reading gives, and the values of gamma that a grid bears."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.gaussian import by_covariance, moments, prior, white
from scipy.integrate import quad

from gmsdi_jax.compose import clamp, couple, proportional, stable_gamma, uniform
from gmsdi_jax.diffusion import (
    adpm2,
    churn,
    dpmpp_2m,
    euler,
    euler_ancestral,
    heun,
    karras,
    resample,
    sample,
)
from gmsdi_jax.errors import ConfigError

SIGMA_MAX = 3.0


def accompaniment(form: str, gamma: float = 2.0, together: float = 2.0) -> float:
    """The mean of a source that accompanies a known one of value 1, both of variance 1.

    The ODE is linear and its noise has mean 0: the mean is the path that starts without noise.
    `together` is the variance of their sum to the mixture's denoiser: 2 if they are independent.
    """
    known = jnp.array([1.0, 0.0])[None, :, None, None]
    joint = couple(
        prior(np.ones((2, 1))),
        form,
        gamma,
        mixture=lambda x, sigma: together / (together + sigma**2) * x,
        allocate=uniform,
    )
    denoise = clamp(joint, known, jnp.array([True, False]))
    grid, keys = karras(300, 1e-3, SIGMA_MAX), jax.random.split(jax.random.key(0), 1)
    found = jax.jit(lambda x: sample(keys, denoise, heun, grid, x))(known)
    assert_allclose(found[0, 0], 1, rtol=1e-9)
    return found[0, 1].item()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("gamma", [0.7, 2.0])
def test_difference_attracts_and_sum_repels(gamma):
    """The text's form makes a stem that resembles what it accompanies, ``sum`` its mirror image.

    In ``s = sigma^2`` the mean obeys ``2 dx/ds = x / (1 + s) + (x -+ 1) / gamma^2``.
    """
    s = np.linspace(0, SIGMA_MAX**2, 200_001)
    factor = np.exp(-s / (2 * gamma**2)) / np.sqrt(1 + s) / (2 * gamma**2)
    expected = np.trapezoid(factor, s)
    assert expected > 0.3
    assert_allclose(accompaniment("difference", gamma), expected, atol=1e-3)
    assert_allclose(accompaniment("sum", gamma), -expected, atol=1e-3)


@pytest.mark.usefixtures("x64")
def test_mixture_repels():
    """The mixture model's own score makes the stem cancel part of what it accompanies, as in the
    audio that the authors published: ``-sqrt 2 (sqrt((1 + S) / (2 + S)) - sqrt(1/2))`` = -.35."""
    s = SIGMA_MAX**2
    expected = -np.sqrt(2) * (np.sqrt((1 + s) / (2 + s)) - np.sqrt(0.5))
    assert_allclose(expected, -0.348, atol=1e-3)
    assert_allclose(accompaniment("mixture"), expected, atol=1e-3)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("together", [2.0, 3.0, 1.0, 0.5])
def test_projected_follows_the_mixture_model(together):
    """It attracts or repels as the mixture model has heard: not at all where it says independent.

    With c the variance of the sum, ``g = 1 / (1 + s) - 2 / (c + 2 s)`` (0 at c = 2) and half of the
    residual for each: ``2 dx/ds = x / (1 + s) - g (1 + x) / 2``.
    """
    s = np.linspace(0, SIGMA_MAX**2, 200_001)
    ratio = (together + 2 * s) / together
    pull = (1 / (1 + s) - 2 / (together + 2 * s)) / 4
    expected = np.trapezoid(pull * ((1 + s) * ratio) ** -0.25, s)
    assert np.sign(expected) == np.sign(together - 2)
    assert_allclose(accompaniment("projected", together=together), expected, atol=1e-3)


FOUR = np.array([[0.04], [0.04], [0.01], [0.01]])


def of_sum(variance: np.ndarray):
    """The denoiser of the sum of independent sources."""
    c = variance.sum(0)[None, :, None]
    return lambda x, sigma: c / (c + sigma**2) * x


def generated(variance, step, grid, form, **settings) -> np.ndarray:
    """The covariance of sources ``[k k]`` that are generated together, one bin each."""
    k, t = variance.shape
    denoise = couple(prior(variance), form, mixture=of_sum(variance), **settings)
    return np.asarray(
        moments(step, lambda y: denoise, grid, white(k, t, grid[0] ** 2)).covariance[..., 0]
    )


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("weight", "decibels"), [(1.0, -3.01), (0.5, -1.76), (0.0, 0.0)])
def test_mixture_form_claims_energy_twice(weight, decibels):
    """The density that it stands for has the variance ``c / (1 + w)`` of the sum, where data has c.

    Its precision is the denoiser's ``(1 - dD/dx) / sigma^2`` at a vanishing level.
    """
    sigma = jnp.asarray(1e-4)
    denoise = couple(prior(FOUR), "mixture", mixture=of_sum(FOUR), weight=weight)
    units = jnp.eye(4)[:, :, None, None]
    precision = ((units - denoise(units, sigma)) / sigma**2)[..., 0, 0]
    found = np.linalg.inv(precision).sum() / FOUR.sum()
    assert_allclose(found, 1 / (1 + weight), rtol=1e-4)
    assert_allclose(10 * np.log10(found), decibels, atol=0.01)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("ratio", "decibels"), [(1.0, -5.36), (5.0, -3.58)])
def test_samplers_make_the_mixture_form_quieter_still(ratio, decibels):
    """At high levels the form says ``1 + w k`` times what white noise says, and little forgets it.

    Equal sources v from sigma = inf, noise ratio lambda as in `test_dirac`: the sum's variance is
    ``lambda k int ds (v / (v + s))^(1 + lambda) (c / (c + s))^(w k (1 + lambda))``, which is c / 2
    as lambda grows. The ODE (lambda 0) forgets nothing: it gets as quiet as its start was noisy.
    """
    k, v, high, n = 4, 0.03, 30.0, 2000
    c, power = k * v, 1 + ratio
    area = quad(lambda s: (v / (v + s)) ** power * (c / (c + s)) ** (k * power), 0, 10, points=[v])
    expected = ratio * k * area[0]
    grid = jnp.append(jnp.geomspace(high, 1e-4, n), 0.0)
    step = churn(euler, ratio * np.log(high / 1e-4), n)
    found = generated(np.full((k, 1), v), step, grid, "mixture").sum()
    # Euler's error: half of the stiffest rate, (1 + lambda)(1 + k), times the fall of ln sigma.
    assert_allclose(found, expected, rtol=power * (1 + k) * np.log(high / 1e-4) / n / 2)
    assert_allclose(10 * np.log10(expected / c), decibels, atol=0.01)
    silent = generated(np.full((k, 1), v), heun, grid, "mixture").sum()
    assert silent < 1e-6 * c


SOLVERS = {
    "euler": euler,
    "heun": heun,
    "dpmpp_2m": dpmpp_2m,
    "ancestral": euler_ancestral,
    "adpm2": adpm2(),
    "churn": resample(churn(euler, 20, 150), 2),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", SOLVERS)
def test_projected_sum_is_the_mixture_models_own_sample(name):
    """Whatever the solver and the weights: to rounding the path of one source of variance c, from
    and at ``sqrt(k)`` times the levels. Its loudness is the data's, to the solver's error."""
    grid, c = karras(150, 1e-4, SIGMA_MAX), FOUR.sum()
    alone = moments(
        SOLVERS[name], lambda y: prior(np.array([[c]])), 2 * grid, white(1, 1, (2 * grid[0]) ** 2)
    ).covariance.item()
    for allocate in (by_covariance(FOUR), uniform):
        found = generated(FOUR, SOLVERS[name], grid, "projected", allocate=allocate).sum()
        assert_allclose(found, alone, rtol=1e-9)
    assert abs(10 * np.log10(alone / c)) < 1


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("form", "sign"), [("difference", 1), ("sum", -1), ("mixture", -1), ("projected", 0)]
)
def test_generated_stems_correlate_as_the_form_says(form, sign):
    """Two equal stems: ``projected`` leaves independent ones independent, the others do not."""
    found = generated(
        np.full((2, 1), 0.1), heun, karras(150, 1e-4, SIGMA_MAX), form, allocate=uniform
    )
    correlation = found[0, 1] / found[0, 0]
    if sign:
        assert correlation * sign > 0.1
    else:
        assert abs(correlation) < 1e-9


@pytest.mark.usefixtures("x64")
def test_projected_splits_by_local_power_unless_told(rng):
    """By default too the answers sum to the mixture model's, at ``sqrt(k)`` times the level."""
    x, sigma = jnp.asarray(rng.standard_normal((1, 3, 2000, 1))), jnp.asarray(0.4)
    variance = np.array([[0.5], [0.1], [0.01]]) * np.ones(2000)
    answers = couple(prior(variance), "projected", mixture=of_sum(variance))(x, sigma)
    expected = of_sum(variance)(x.sum(1), np.sqrt(3) * sigma)
    assert_allclose(answers.sum(1), expected, rtol=0, atol=1e-9)


def test_form_must_be_known_and_mixture_have_its_denoiser():
    """Both refusals say what to do."""
    joint = prior(np.ones((2, 1)))
    with pytest.raises(ConfigError, match="use difference, sum, mixture, projected"):
        couple(joint, "product")  # pyright: ignore[reportArgumentType]
    for form in ("mixture", "projected"):
        with pytest.raises(ConfigError, match="needs the denoiser of the mixture"):
            couple(joint, form)


def test_proportional_gamma_follows_the_level():
    """``gamma = c sigma`` makes the coupling's part of the answer the same at every level."""
    joint, x = prior(np.zeros((2, 1))), jnp.ones((1, 2, 1, 1))
    for sigma in (0.01, 1.0):
        found = couple(joint, "sum", proportional(0.5))(x, jnp.asarray(sigma))
        assert_allclose(found, np.full(x.shape, -2 / 0.5**2), rtol=1e-6)


def growth(form: str, sources: int, grid: jax.Array, gamma) -> float:
    """How much one Euler step multiplies the coupling's stiffest mode, at its worst level.

    The sources themselves are left alone (a denoiser that returns its input).
    """
    denoise = couple(lambda x, sigma: x, form, gamma)
    pair = jnp.zeros(sources).at[0].set(1.0).at[1].set(-1.0)
    x = (pair if form == "difference" else jnp.ones(sources))[None, :, None, None]

    def factor(sigma, sigma_next):
        return jnp.abs(euler(None, denoise, x, sigma, sigma_next)).max()

    return float(jax.jit(jax.vmap(factor))(grid[:-1], grid[1:]).max())


@pytest.mark.parametrize("form", ["difference", "sum"])
@pytest.mark.parametrize("sources", [2, 4])
@pytest.mark.parametrize(("steps", "sigma_max"), [(25, 1.0), (150, 3.0), (150, 20.0)])
def test_refused_gamma_comes_with_one_that_is_stable(form, sources, steps, sigma_max):
    """The value named is accepted and does not grow; nine tenths of it are refused and do."""
    grid = karras(steps, 1e-4, sigma_max)
    with pytest.raises(ConfigError, match="more steps") as refusal:
        stable_gamma(form, sources, grid, 0.05)
    named = re.search(r"use (\S+) or more,", str(refusal.value))
    assert named, refusal.value
    gamma = float(named[1])
    assert stable_gamma(form, sources, grid, gamma) == gamma
    assert growth(form, sources, grid, gamma) <= 1 + 1e-4
    with pytest.raises(ConfigError):
        stable_gamma(form, sources, grid, 0.9 * gamma)
    # At the bound Euler's factor is -1; a gamma of .9 makes it 1 - 2 / .81 = -1.47.
    assert_allclose(growth(form, sources, grid, 0.9 * gamma), 2 / 0.81 - 1, atol=0.02)


def test_gamma_as_a_function_is_checked_too():
    """A schedule comes back as it is, or is refused with the factor that would make it stable."""
    grid = karras(20)
    fine = proportional(2.0)
    assert stable_gamma("sum", 4, grid, fine) is fine
    with pytest.raises(ConfigError, match=r"a (\S+) times larger function") as refusal:
        stable_gamma("sum", 4, grid, proportional(0.1))
    times = float(str(refusal.value).split(" times")[0].split()[-1])
    cured = proportional(0.1 * times)
    assert stable_gamma("sum", 4, grid, cured) is cured
    assert growth("sum", 4, grid, cured) <= 1 + 1e-4


@pytest.mark.parametrize(
    ("form", "sources"), [("mixture", 4), ("projected", 4), ("difference", 1), ("sum", 1)]
)
def test_nothing_to_check_without_gamma_or_without_a_pair(form, sources):
    """Form ``mixture`` has no gamma, one source alone has no coupling: it comes back untouched."""
    assert stable_gamma(form, sources, karras(20), 1e-9) == 1e-9
