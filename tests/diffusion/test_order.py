"""How fast each solver converges: its error against the exact map as the grid is refined.

The order is ``log2`` of the ratio of errors when the steps are doubled. On a bimodal prior, where
the denoiser is anything but linear, the exact map is the one between quantiles
(`oracles.transport`): no solver is compared with another solver.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles import words
from oracles.gaussian import moments, noise, prior, white
from oracles.transport import Mixture

from gmsdi_jax.diffusion import (
    adpm2,
    churn,
    dpmpp_2m,
    euler,
    euler_ancestral,
    heun,
    karras,
    sample,
)
from gmsdi_jax.types import Step, Text

pytestmark = pytest.mark.usefixtures("x64")

STEPS = (64, 128, 256)


def orders(error) -> np.ndarray:
    """``log2`` of the ratios of `error` at `STEPS` steps from sigma 1 down to 0.02."""
    found = [error(karras(n + 1, 0.02, 1.0, to_zero=False)) for n in STEPS]
    assert found[-1] < 0.05
    return np.log2(np.divide(found[:-1], found[1:]))


def silent(step: Step) -> Step:
    """The ODE step within an ancestral one: no noise, and aimed so that it goes to sigma_next.

    Asked for ``sqrt(sigma sigma_next)``, an ancestral step's sigma_down is sigma_next.
    """

    def down(keys, denoise, x, sigma, sigma_next):
        with noise(lambda number, x: jnp.zeros_like(x)):
            return step(keys, denoise, x, sigma, jnp.sqrt(sigma * sigma_next))

    return down


SOLVERS = {
    "euler": (euler, 1, 0.1),
    "ancestral": (silent(euler_ancestral), 1, 0.1),
    "heun": (heun, 2, 0.2),
    "adpm2": (silent(adpm2()), 2, 0.2),
    "adpm2 rho 7": (silent(adpm2(7.0)), 2, 0.2),
    "adpm2 geometric": (silent(adpm2(math.inf)), 2, 0.2),
    "dpmpp_2m": (dpmpp_2m, 2, 0.2),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_order_on_a_bimodal_prior(name, key):
    """1 for Euler and 2 for the others, each to 0.07, from 13 starts across both modes."""
    step, order, tolerance = SOLVERS[name]
    density = Mixture(mean=(0.8, -0.6), variance=(0.02, 0.08))
    text = words.text(*zip(density.mean, density.variance, strict=True))
    rows, start = Text(*(leaf[None] for leaf in text)), np.linspace(-1.5, 1.5, 13)

    def error(grid) -> float:
        def run(x):
            return sample(key[None], lambda x, sigma: words.denoise(x, sigma, rows), step, grid, x)

        found = jax.jit(run)(jnp.asarray(start)[None, :, None])[0, :, 0]
        exact = density.flow(start, float(grid[0]), float(grid[-1]))
        return float(np.sqrt(((found - exact) ** 2).mean()))

    assert_allclose(orders(error), order, atol=tolerance)


def variance_error(step: Step, grid: jax.Array) -> float:
    """Of Gaussian data that starts exact: the variance of all samples, with the noise they drew."""
    variance = np.array([[0.04, 0.3, 1.0, 0.01]])
    start = white(1, 4, variance + np.asarray(grid[0]) ** 2)
    found = moments(step, lambda y: prior(variance), grid, start).covariance[0, 0]
    return float(np.abs(found - variance[0] - grid[-1] ** 2).max())


@pytest.mark.parametrize(
    ("step", "order", "tolerance"),
    [
        (euler, 1, 0.1),
        (euler_ancestral, 1, 0.1),
        (heun, 2, 0.2),
        (dpmpp_2m, 2, 0.2),
        (adpm2(7.0), 2, 0.2),
        (adpm2(math.inf), 2, 0.2),
        (adpm2(), 3, 0.2),
    ],
    ids=["euler", "ancestral", "heun", "dpmpp_2m", "adpm2 rho 7", "adpm2 geometric", "adpm2"],
)
def test_order_of_the_variance(step, order, tolerance):
    """An ancestral step returns as much noise as it took: its samples are as good as its ODE step.

    The arithmetic midpoint gains an order here, which it has on Gaussian data only.
    """
    found = orders(lambda grid: variance_error(step, grid))
    assert_allclose(found, order, atol=tolerance)


def test_churn_leaves_heun_its_order():
    """EDM's churn, ``s_churn`` the same for every number of steps, fades with the steps."""
    found = orders(lambda grid: variance_error(churn(heun, 10, len(grid) - 1), grid))
    assert_allclose(found, 2, atol=0.2)
