"""The rows that need no model: two that any separator must beat, and one that it cannot reach.

``silence`` shows how much of a score the metric gives away for nothing, ``mixture`` is 0 dB by
definition, and the oracle is what the best power-ratio mask would do if it knew the true stems.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gmsdi_jax.baselines.static import share
from gmsdi_jax.stft import stft

FLOOR = 1e-20
"""Added to the power of every bin: digital silence is shared equally."""


def silence(mixture: Float[np.ndarray, " t"], k: int) -> Float[np.ndarray, "k t"]:
    """Zeros for each of `k` stems."""
    return np.zeros((k, *mixture.shape), mixture.dtype)


def mixture_copy(mixture: Float[np.ndarray, " t"], k: int) -> Float[np.ndarray, "k t"]:
    """The mixture itself for each of `k` stems: an improvement of 0 dB."""
    return np.repeat(mixture[None], k, axis=0)


def oracle_wiener(
    mixture: Float[np.ndarray, " t"], references: Float[np.ndarray, "k t"], n_fft: int = 1024
) -> Float[np.ndarray, "k t"]:
    """The stems by a Wiener filter that knows the true power of every stem in every bin."""
    power = jnp.abs(stft(jnp.asarray(references, jnp.float32), n_fft, n_fft // 4)) ** 2 + FLOOR
    return share(mixture, power / power.sum(0, keepdims=True))
