"""Every separator of four Gaussian sources, at every number of steps: no random numbers."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
from oracles import gaussian as oracle
from oracles.tables.solvers import SOLVERS, cost

from gmsdi_jax.compose import dirac, gaussian, project, proportional, uniform
from gmsdi_jax.diffusion import daps, karras

V = oracle.spectra()
K, BINS = V.shape
STEPS = (10, 25, 50, 150, 600)
_TWICE = "churn 20, twice"


class GaussianRow(NamedTuple):
    """A separator; SI-SDR improvements in dB."""

    rule: str
    solver: str
    steps: int
    evaluations: int
    bias: float
    """The rms error of the mean over the rms posterior deviation."""
    covariance: float
    """The error of the covariance over the covariance, Frobenius norms."""
    spread: float
    """The samples' variance over the posterior's."""
    one: float
    """Of one draw."""
    eight: float
    """Of the mean of 8 draws."""
    mean: float
    """Of the mean of all draws."""
    constrained: str = ""
    """Of Dirac, where it is not the last source alone: which one."""


def rows() -> list[GaussianRow]:
    """The whole table."""
    with jax.enable_x64(True):
        return list(_rows())


def _rows() -> Iterator[GaussianRow]:
    exact = oracle.posterior(V)
    yield _row("exact posterior", "", 0, 0, exact)
    mask = oracle.Moments(np.sqrt(V) / np.sqrt(V).sum(0), np.zeros_like(exact.covariance))
    yield _row("amplitude-ratio mask", "", 0, 0, mask)
    for solver in SOLVERS:
        for n in STEPS:
            yield _row("Dirac", solver, n, cost(solver, n), _constrained(solver, n, K - 1))
    for rule, (composed, solvers) in RULES.items():
        for solver in solvers:
            for n in STEPS:
                found = _moments(SOLVERS[solver](n), composed, n, K)
                yield _row(rule, solver, n, cost(solver, n), found)
    step = daps(oracle.deviations(V))
    for n in (5, 10, 25, 150):
        found = _moments(step, _by_covariance, n, K)
        yield _row("covariance projection", "DAPS", n, n, found)
    for solver in ("ancestral", _TWICE):
        yield from _rows_of_all_constrained(solver, 150)


def _rows_of_all_constrained(solver: str, n: int) -> Iterator[GaussianRow]:
    """Each source constrained in a run of its own, and the mean of one draw from each."""
    runs = [_constrained(solver, n, at) for at in range(K)]
    for at, found in enumerate(runs):
        yield _row("Dirac", solver, n, cost(solver, n), found, f"stem {at + 1}")
    merged = oracle.average(runs)
    yield _row("Dirac", solver, n, K * cost(solver, n), merged, "each, averaged")


def _row(rule, solver, steps, evaluations, found, constrained="") -> GaussianRow:
    errors = (oracle.bias, oracle.covariance_error, oracle.spread_ratio)
    measured = [error(found, V) for error in errors]
    gains = [oracle.si_sdr_gain(found, V, draws) for draws in (1, 8, math.inf)]
    return GaussianRow(rule, solver, steps, evaluations, *measured, *gains, constrained)


def _moments(step, composed, n: int, sources: int) -> oracle.Moments:
    return oracle.moments(step, composed, karras(n), oracle.white(sources, BINS, 1.0))


def _constrained(solver: str, n: int, at: int) -> oracle.Moments:
    free = _moments(SOLVERS[solver](n), _DIRAC[at], n, K - 1)
    return oracle.completed(free, at)


def _by_covariance(y):
    return project(oracle.prior(V), y, oracle.by_covariance(V))


_DIRAC = [lambda y, at=at: dirac(oracle.prior(V), y, at) for at in range(K)]
RULES = {
    "Gaussian likelihood": (
        lambda y: gaussian(oracle.prior(V), y, proportional(0.75)),
        [_TWICE],
    ),
    "Gaussian likelihood, MSDM's 1/2": (
        lambda y: gaussian(oracle.prior(V), y, proportional(0.75), 0.5),
        [_TWICE],
    ),
    "uniform projection": (
        lambda y: project(oracle.prior(V), y, uniform),
        ["ODE, Euler", "ancestral", _TWICE],
    ),
    "covariance projection": (
        _by_covariance,
        ["ODE, Euler", "ODE, Heun", "ODE, DPM++ 2M", "ancestral", "adpm2", _TWICE],
    ),
}
"""The denoiser of mixtures and the solvers of every rule but Dirac."""
