"""Separators of sparse sources, whose posterior is not Gaussian: are their draws calibrated?"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from oracles import scale_mixture
from oracles.tables.solvers import SOLVERS, cost, sampler

from gmsdi_jax.compose import complete, dirac, project, uniform
from gmsdi_jax.diffusion import initial_noise, karras

BINS, AVERAGED, DRAWS = 20_000, 2_500, 8
"""One draw for each of so many bins, and 8 draws for so many of them."""


class SparseRow(NamedTuple):
    """A separator of sparse sources."""

    rule: str
    solver: str
    steps: int
    evaluations: int
    one: float
    """The SDR of one draw, dB, averaged over sources."""
    eight: float
    """The SDR of the mean of 8 draws, dB, averaged over sources."""
    error: float
    """The rms distance of the mean of 8 draws to the exact mean over the rms posterior deviation;
    ``sqrt(1/8)`` for exact draws."""
    calibration: tuple[float, ...]
    """The Kolmogorov-Smirnov distance of each source's draws from the posterior."""


PLAN = [
    ("Dirac", "ODE, Euler", (150,)),
    ("Dirac", "ancestral", (25, 150)),
    ("Dirac", "churn 20", (150,)),
    ("Dirac", "churn 20, twice", (150,)),
    ("Dirac", "churn 40, twice", (150,)),
    ("uniform projection", "ancestral", (150,)),
    ("covariance projection", "ODE, Euler", (150,)),
    ("covariance projection", "ancestral", (10, 25, 150)),
    ("covariance projection", "adpm2", (75,)),
    ("covariance projection", "churn 20, twice", (150,)),
    ("covariance projection", "DAPS", (10, 25, 50, 150)),
]


def rows() -> list[SparseRow]:
    """The whole table."""
    return list(_rows())


def _rows() -> Iterator[SparseRow]:
    truth = scale_mixture.draw(np.random.default_rng(0), BINS)
    # The first bins stand there 8 times: one long window holds all draws.
    all_draws = np.concatenate([truth, *[truth[:, :AVERAGED]] * (DRAWS - 1)], axis=1)
    exact = scale_mixture.posterior(all_draws.sum(0))
    measure = _measures(truth, exact)
    yield SparseRow("exact posterior", "", 0, 0, *measure(exact.draw(np.random.default_rng(1))))
    mixture = jnp.asarray(exact.mixture, jnp.float32)[None, :, None]
    for rule, solver, counts in PLAN:
        for n, draws in _drawn(rule, solver, counts, mixture):
            evaluations = n if solver == "DAPS" else cost(solver, n)
            yield SparseRow(rule, solver, n, evaluations, *measure(draws))


def _measures(
    truth: Float[np.ndarray, "k n"], exact: scale_mixture.Posterior
) -> Callable[[Float[np.ndarray, "k m"]], tuple[float, float, float, tuple[float, ...]]]:
    """From draws to what a row says of them."""
    few, center = truth[:, :AVERAGED], exact.mean()[:, :AVERAGED]
    once = scale_mixture.posterior(truth.sum(0))
    deviation = np.sqrt(((few - center) ** 2).mean())

    def sdr(estimate, stems) -> float:
        return float(10 * np.log10((stems**2).sum(1) / ((stems - estimate) ** 2).sum(1)).mean())

    def measure(draws):
        first, more = draws[:, :BINS], draws[:, BINS:].reshape(-1, DRAWS - 1, AVERAGED)
        mean = (first[:, :AVERAGED] + more.sum(1)) / DRAWS
        error = float(np.sqrt(((mean - center) ** 2).mean()) / deviation)
        return sdr(first, truth), sdr(mean, few), error, tuple(once.calibration(first).tolist())

    return measure


def _drawn(
    rule: str, solver: str, counts: tuple[int, ...], mixture: Float[Array, "1 t 1"]
) -> Iterator[tuple[int, Float[np.ndarray, "k t"]]]:
    """Draws, one a bin, in so many steps from sigma 3 to 1e-3."""
    joint, k = scale_mixture.denoise, scale_mixture.K
    denoise, sources = {
        "Dirac": lambda: (dirac(joint, mixture), k - 1),
        "uniform projection": lambda: (project(joint, mixture, uniform), k),
        "covariance projection": lambda: (scale_mixture.project_by_covariance(mixture), k),
    }[rule]()
    step = scale_mixture.daps_by_covariance() if solver == "DAPS" else SOLVERS[solver](counts[0])
    run, keys = sampler(denoise, step), jax.random.split(jax.random.key(0), 1)
    for n in counts:
        grid = karras(n, 1e-3, 3.0)
        found = run(keys, grid, initial_noise(keys, grid[0], (sources, *mixture.shape[1:])))
        stems = complete(found, mixture) if sources < k else found
        yield n, np.asarray(stems, np.float64)[0, :, :, 0]
