"""The solvers of the tables, what they cost, and a way to run one on many grids.

Evaluations are denoiser calls per source. Compiling takes most of the tables' time, so what can be
compiled once is.
"""

import itertools
from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from gmsdi_jax.diffusion import (
    adpm2,
    churn,
    dpmpp_2m,
    euler,
    euler_ancestral,
    heun,
    resample,
    sample,
)
from gmsdi_jax.diffusion.steps import fold
from gmsdi_jax.types import Denoiser, MultiStep, Step


@cache
def _churned(s_churn: float, times: int) -> Step:
    """With `s_churn` for each step, of which churn heeds no more than ``sqrt 2 - 1``."""
    return resample(churn(euler, s_churn, steps=1), times)


_ADPM2 = adpm2()
SOLVERS: dict[str, Callable[[int], Step | MultiStep]] = {
    "ODE, Euler": lambda n: euler,
    "ODE, Heun": lambda n: heun,
    "ODE, DPM++ 2M": lambda n: dpmpp_2m,
    "ancestral": lambda n: euler_ancestral,
    "adpm2": lambda n: _ADPM2,
    "churn 20": lambda n: _churned(min(20 / n, 0.5), 1),
    "churn 20, twice": lambda n: _churned(min(20 / n, 0.5), 2),
    "churn 40, twice": lambda n: _churned(min(40 / n, 0.5), 2),
}
"""From the number of steps, over which churn is spread, to the solver."""


def cost(solver: str, steps: int) -> int:
    """Evaluations of a whole run."""
    return steps * _calls(SOLVERS[solver](steps))


@cache
def _calls(step: Step | MultiStep) -> int:
    """How often one step asks the denoiser."""
    asked = []

    def denoise(x, sigma):
        asked.append(sigma)
        return x

    x, keys = jnp.ones((1, 1)), jax.random.split(jax.random.key(0), 1)
    levels = jnp.asarray(0.5), jnp.asarray(0.4)
    if isinstance(step, MultiStep):
        step.step(keys, denoise, x, step.init(x), *levels)
    else:
        step(keys, denoise, x, *levels)
    return len(asked)


def sampler(
    denoise: Denoiser, step: Step
) -> Callable[[Key[Array, " b"], Float[Array, " n"], Float[Array, "b *x"]], Float[Array, "b *x"]]:
    """`sample`, one step at a time: compiled once for grids of any length."""

    @jax.jit
    def advance(keys, number, levels, x):
        return sample(fold(keys, number), denoise, step, levels, x)

    def run(keys, sigmas, x):
        for number, levels in enumerate(itertools.pairwise(sigmas.tolist())):
            x = advance(keys, number, jnp.asarray(levels), x)
        return x

    return run
