"""Stems generated together under every form of coupling: how loud, and how alike?"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
from oracles import gaussian as oracle
from oracles.tables.solvers import SOLVERS

from gmsdi_jax.compose import couple
from gmsdi_jax.diffusion import karras

V = np.array([[0.04], [0.04], [0.01], [0.01]])
STEPS, SIGMA_MAX, GAMMA = 300, 3.0, 2.0


class GenerationRow(NamedTuple):
    """Two loud and two soft stems; levels in dB above the data's."""

    form: str
    solver: str
    total: float
    """Of the stems' sum."""
    loud: float
    soft: float
    correlation: float
    """Between the loud stems; 0 in the data."""


def rows() -> list[GenerationRow]:
    """The whole table."""
    with jax.enable_x64(True):
        return list(_rows())


def _rows() -> Iterator[GenerationRow]:
    total = V.sum()

    def mixture(x, sigma):
        return total / (total + sigma**2) * x

    for form in ("difference", "sum", "mixture", "projected"):
        allocate = oracle.by_covariance(V)
        denoise = couple(oracle.prior(V), form, GAMMA, mixture, allocate=allocate)
        for solver in ("ODE, Heun", "ancestral", "adpm2"):
            start = oracle.white(len(V), 1, SIGMA_MAX**2)
            grid = karras(STEPS, 1e-4, SIGMA_MAX)
            found = oracle.moments(SOLVERS[solver](STEPS), lambda y, d=denoise: d, grid, start)
            c = np.asarray(found.covariance)[..., 0]
            ratios = np.array([c.sum() / total, *np.diag(c)[[0, 2]] / V[[0, 2], 0]])
            levels = 10 * np.log10(ratios)
            yield GenerationRow(form, solver, *levels.tolist(), float(c[0, 1] / c[0, 0]))
