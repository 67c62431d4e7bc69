"""The solvers of the tables and what they cost.

Evaluations are denoiser calls per source.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gmsdi_jax.diffusion import adpm2, churn, dpmpp_2m, euler, euler_ancestral, heun, resample
from gmsdi_jax.types import MultiStep, Step

_ADPM2 = adpm2()
SOLVERS: dict[str, Callable[[int], Step | MultiStep]] = {
    "ODE, Euler": lambda n: euler,
    "ODE, Heun": lambda n: heun,
    "ODE, DPM++ 2M": lambda n: dpmpp_2m,
    "ancestral": lambda n: euler_ancestral,
    "adpm2": lambda n: _ADPM2,
    "churn 20": lambda n: churn(euler, 20, n),
    "churn 20, twice": lambda n: resample(churn(euler, 20, n), 2),
    "churn 40, twice": lambda n: resample(churn(euler, 40, n), 2),
}
"""From the number of steps, over which churn is spread, to the solver."""


def calls(step: Step | MultiStep) -> int:
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


def cost(solver: str, steps: int) -> int:
    """Evaluations of a whole run."""
    return steps * calls(SOLVERS[solver](steps))
