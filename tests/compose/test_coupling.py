"""Coupled sources: the sign that each reading gives, and the values of gamma that a grid bears."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.gaussian import prior

from gmsdi_jax.compose import clamp, couple, proportional, stable_gamma
from gmsdi_jax.diffusion import euler, heun, karras, sample
from gmsdi_jax.errors import ConfigError

SIGMA_MAX = 3.0


def accompaniment(form: str, gamma: float = 2.0) -> float:
    """The mean of a source that accompanies a known one of value 1, both of variance 1.

    The ODE is linear and its noise has mean 0: the mean is the path that starts without noise.
    """
    known = jnp.array([1.0, 0.0])[None, :, None, None]
    joint = couple(
        prior(np.ones((2, 1))), form, gamma, mixture=lambda x, sigma: 2 / (2 + sigma**2) * x
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
