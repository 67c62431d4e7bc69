"""Noise levels: the grids that samplers walk down and the distribution that training draws from.

All levels are standard deviations in audio units (full scale = 1).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def karras(
    steps: int,
    sigma_min: float = 1e-4,
    sigma_max: float = 1.0,
    rho: float = 7.0,
    *,
    to_zero: bool = True,
) -> Float[Array, " n"]:
    """The grid of Karras et al. 2022, eq. (5), from `sigma_max` down.

    With `to_zero` (MSDM, EDM, k-diffusion) the grid has ``steps + 1`` levels, the last one 0, so
    that `steps` solver steps are taken. Without (audio-diffusion-pytorch) it stops at `sigma_min`:
    `steps` levels, ``steps - 1`` solver steps. MSDM separates with 1e-4 .. 1, rho 7, 150 steps.

    Raises:
        ValueError: fewer than 2 steps, or levels that are not ``0 < sigma_min < sigma_max``.
    """
    if steps < 2 or not 0 < sigma_min < sigma_max:
        raise ValueError(f"a grid needs steps >= 2 and 0 < sigma_min < sigma_max, got {steps=}, "
                         f"{sigma_min=}, {sigma_max=}")  # fmt: skip
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    # In Python's double precision: in float32 a seventh power is several roundings off.
    levels = [(high + i / (steps - 1) * (low - high)) ** rho for i in range(steps)]
    return jnp.asarray([*levels, 0.0] if to_zero else levels)


GRIDS = {
    "msdm": {"sigma_min": 1e-4, "sigma_max": 1.0, "rho": 7.0},
    "msdm-generation": {"sigma_min": 1e-4, "sigma_max": 20.0, "rho": 7.0},
    "adp": {"sigma_min": 1e-4, "sigma_max": 3.0, "rho": 9.0, "to_zero": False},
    "edm": {"sigma_min": 2e-3, "sigma_max": 80.0, "rho": 7.0},
}
"""The published grids, as arguments of `karras`: MSDM's separation and generation,
audio-diffusion-pytorch's default (it stops at sigma_min), EDM's (for images of unit scale)."""


def lognormal(
    key: Key[Array, ""], shape: tuple[int, ...], mean: float = -3.0, std: float = 1.0
) -> Float[Array, "*shape"]:
    """Training levels with ``ln sigma ~ N(mean, std**2)``: EDM's form with MSDM's numbers."""
    return jnp.exp(mean + std * jax.random.normal(key, shape))
