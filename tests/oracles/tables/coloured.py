"""Separators of sources in bands that change over time: what weights from an STFT are worth."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from oracles.bands import BLOCK, bands, si_sdr
from oracles.tables.solvers import SOLVERS, cost, sampler

from gmsdi_jax.compose import (
    complete,
    dirac,
    local_power,
    project,
    project_by_covariance,
    uniform,
    wiener,
)
from gmsdi_jax.diffusion import daps, initial_noise, karras
from gmsdi_jax.types import Denoiser

WINDOWS, DRAWS, ITERATIONS = 2, 8, 4
SOURCE = bands()


class ColouredRow(NamedTuple):
    """A separator; SI-SDR improvements in dB."""

    rule: str
    solver: str
    steps: int
    evaluations: int
    one: float
    """Of one draw."""
    eight: float
    """Of the mean of 8 draws."""
    filtered: float
    """Of the Wiener filter built from one draw."""


PLAN = [
    ("Dirac", "ancestral", (25, 150)),
    ("Dirac", "churn 20, twice", (150,)),
    ("uniform projection", "ancestral", (25,)),
    ("covariance projection", "ancestral", (10, 25)),
    ("by Jacobian", "ancestral", (10, 25)),
    ("local power", "ancestral", (10, 25, 50)),
    ("local power, corrected", "ancestral", (10, 25, 50)),
    ("covariance projection", "DAPS", (10, 25)),
    ("local power", "DAPS", (10, 25)),
    ("local power, corrected", "DAPS", (10, 25)),
]
_LOCAL = {
    "local power": local_power(BLOCK),
    "local power, corrected": local_power(BLOCK, corrected=True),
}
SPREADS = {
    "covariance projection": SOURCE.deviations,
    **{rule: allocate.spread for rule, allocate in _LOCAL.items()},
}
"""The deviations of DAPS."""


def rows() -> list[ColouredRow]:
    """The whole table."""
    return list(_rows())


def _rows() -> Iterator[ColouredRow]:
    stems = SOURCE.draw(np.random.default_rng(1), WINDOWS)
    mixture = stems.sum(1)
    base = si_sdr(jnp.broadcast_to(mixture[:, None], stems.shape), stems)

    def measured(draws: Float[Array, "b n k t 1"]) -> tuple[float, float, float]:
        one = draws[:, 0]
        estimates = (one, draws.mean(1), wiener(one, mixture, BLOCK))
        return tuple(si_sdr(estimate, stems) - base for estimate in estimates)

    exact = SOURCE.posterior_draws(np.random.default_rng(2), mixture, DRAWS)
    yield ColouredRow("exact posterior", "", 0, 0, *measured(exact))
    for rule, solver, counts in PLAN:
        # By Jacobian: the answer, a product for each iteration, and the parts.
        each = 2 + ITERATIONS if rule == "by Jacobian" else 1
        for n, draws in _drawn(rule, solver, counts, mixture):
            evaluations = each * (n if solver == "DAPS" else cost(solver, n))
            yield ColouredRow(rule, solver, n, evaluations, *measured(draws))


def _drawn(
    rule: str, solver: str, counts: tuple[int, ...], mixture: Float[Array, "b t 1"]
) -> Iterator[tuple[int, Float[Array, "b n k t 1"]]]:
    """Draws of every window, in so many steps from sigma 1 to 1e-3."""
    windows, k = mixture.shape[0], SOURCE.power.shape[0]
    repeated, sources = jnp.repeat(mixture, DRAWS, 0), k - 1 if rule == "Dirac" else k
    step = daps(SPREADS[rule]) if solver == "DAPS" else SOLVERS[solver](counts[0])
    run = sampler(_composed(rule)(repeated), step)
    keys = jax.random.split(jax.random.key(0), windows * DRAWS)
    for n in counts:
        grid = karras(n, 1e-3)
        found = run(keys, grid, initial_noise(keys, grid[0], (sources, *mixture.shape[1:])))
        found = complete(found, repeated) if sources < k else found
        yield n, found.reshape(windows, DRAWS, *found.shape[1:])


def _composed(rule: str) -> Callable[[Float[Array, "b t 1"]], Denoiser]:
    joint = SOURCE.denoise
    allocations = {
        "uniform projection": uniform,
        "covariance projection": SOURCE.by_covariance,
        **_LOCAL,
    }
    if rule == "Dirac":
        return lambda y: dirac(joint, y)
    if rule == "by Jacobian":
        return lambda y: project_by_covariance(joint, y, ITERATIONS)
    return lambda y: project(joint, y, allocations[rule])
