"""Several draws of the same posterior: their mean, and how much they disagree.

A sampler returns one draw of the stems given the mixture. The mean of n independent draws has the
error ``MMSE (1 + 1/n)`` where one draw has ``2 MMSE``: 3 dB in the limit (`docs/oracles.md`). What
the draws disagree about is what the mixture does not tell.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from gmsdi_jax.compose.allocation import smooth, spectrum


def uncertainty(
    draws: Float[Array, "b n k t c"], size: int = 1024, frames: int = 3, bins: int = 3
) -> Float[Array, "b k c m f"]:
    """The standard deviation of the posterior over its rms, in every time-frequency bin: 0 to 1.

    0 where all n draws say the same, 1 where they have nothing in common; m frames, f bins.

    Args:
        draws: at least two draws of each window's stems.
        size: STFT size in samples; the hop is a quarter of it.
        frames: smoothing over time, an odd number of STFT frames.
        bins: smoothing over frequency, an odd number of bins.

    Raises:
        ValueError: fewer than two draws, which cannot disagree.
    """
    n = draws.shape[1]
    if n < 2:
        raise ValueError(f"uncertainty needs at least 2 draws, got {n}")
    z = spectrum(draws, size)
    mean = z.mean(1)
    power = (z.real**2 + z.imag**2).mean(1)
    # Of the mean's power, 1/n of the variance is chance.
    variance = (power - mean.real**2 - mean.imag**2) * n / (n - 1)
    ratio = smooth(variance, frames, bins) / (smooth(power, frames, bins) + 1e-20)
    return jnp.sqrt(jnp.clip(ratio, 0, 1))
