"""The weighted denoising loss (EDM eq. 8), and its form for label-disjoint mixtures of mixtures.

In the paper's recipe a mixture is noised and the denoiser must return it. With *interference* the
denoiser hears mixture + interference + noise and must return the mixture that its text names. The
target is still a mixture: no stem is read. At small sigma the EDM weight ``~ 1/sigma**2`` would
multiply an error that noise has nothing to do with, so it is capped on such rows.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gmsdi_jax.types import Text, TextDenoiser


def loss_weight(sigma: Float[Array, "*b"], sigma_data: float) -> Float[Array, "*b"]:
    """EDM's lambda: every noise level contributes about 1 at initialisation."""
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


def is_mixed(
    audio: Float[Array, "b t c"], interference: Float[Array, "b t c"] | None
) -> Bool[Array, " b"]:
    """Which rows have interference."""
    if interference is None:
        return jnp.zeros(audio.shape[0], bool)
    return jnp.any(interference != 0, axis=(1, 2))


def denoising_loss(
    denoise: TextDenoiser,
    audio: Float[Array, "b t c"],
    interference: Float[Array, "b t c"] | None,
    text: Text,
    sigma: Float[Array, " b"],
    noise: Float[Array, "b t c"],
    sigma_data: float,
    mixed_cap: float = 4.0,
    plain_cap: float = math.inf,
) -> Float[Array, " b"]:
    """The weighted squared error of every row; its mean over rows is the loss.

    Args:
        denoise: the denoiser under training.
        audio: the clean mixtures to recover, full scale = 1.
        interference: mixtures added to the input only; rows of zeros, or None, are the paper's
            recipe.
        text: the text that names `audio`.
        sigma: noise level per row.
        noise: white noise of unit variance.
        sigma_data: standard deviation of the data.
        mixed_cap: cap of the weight on rows with interference, in units of ``1/sigma_data**2``.
        plain_cap: cap of the weight on the other rows, in the same units; EDM has none.
    """
    heard = audio if interference is None else audio + interference
    noisy = heard + sigma[:, None, None] * noise
    mixed = is_mixed(audio, interference)
    error = jnp.mean((denoise(noisy, sigma, text) - audio) ** 2, axis=(1, 2))
    weight = loss_weight(sigma, sigma_data)
    cap = jnp.where(mixed, mixed_cap, plain_cap) / sigma_data**2
    return jnp.minimum(weight, cap) * error
