"""EDM preconditioning: a raw network becomes a denoiser (Karras et al. 2022, table 1).

    D(x, sigma) = c_skip(sigma) x + c_out(sigma) F(c_in(sigma) x, c_noise(sigma))

The coefficients give the network inputs and targets of unit variance at every noise level, and let
a network that answers 0 be the best linear denoiser of data with standard deviation
``sigma_data``.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from gmsdi_jax.types import Network, Text, TextDenoiser


class Scalings(NamedTuple):
    """EDM's four coefficients, of the shape of sigma."""

    c_skip: Float[Array, "*b"]
    c_out: Float[Array, "*b"]
    c_in: Float[Array, "*b"]
    c_noise: Float[Array, "*b"]


def scalings(sigma: Float[Array, "*b"], sigma_data: float) -> Scalings:
    """The coefficients at noise level `sigma`, for data of standard deviation `sigma_data`."""
    total = jnp.sqrt(sigma**2 + sigma_data**2)
    return Scalings(
        c_skip=sigma_data**2 / total**2,
        c_out=sigma * sigma_data / total,
        c_in=1 / total,
        c_noise=jnp.log(sigma) / 4,
    )


def precondition(network: Network, sigma_data: float, limit: float | None = None) -> TextDenoiser:
    """The denoiser that `network` stands for.

    `limit` clamps the answer to ``[-limit, limit]``, as audio-diffusion-pytorch does with 1
    whenever its ``dynamic_threshold`` is 0; a clamped denoiser no longer satisfies Tweedie's
    formula.
    """

    def denoise(
        x: Float[Array, "b t c"], sigma: Float[Array, "*b"], text: Text
    ) -> Float[Array, "b t c"]:
        rows = jnp.broadcast_to(sigma, x.shape[:1])
        c = scalings(rows, sigma_data)
        answer = network(c.c_in[:, None, None] * x, c.c_noise, text)
        denoised = c.c_skip[:, None, None] * x + c.c_out[:, None, None] * answer
        return denoised if limit is None else jnp.clip(denoised, -limit, limit)

    return denoise
