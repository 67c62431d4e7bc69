"""Who gets the part of the mixture that the sources' denoisers leave unexplained.

An allocation splits a residual ``r`` into ``W_k r`` with ``sum_k W_k = 1``. The right weights come
from the posterior covariances, ``W_k = C_k (sum_j C_j)^-1``; here they are read off local power in
the time-frequency plane, which costs no network call.

* `local_power` takes ``C_k = P_k sigma^2 / (P_k + sigma^2)``, the posterior variance of a Gaussian
  bin of power ``P_k``, with ``P_k`` the smoothed power of the current answer. On a weak prior it
  starves sources: an answer near zero yields a weight near zero, which feeds itself.
* `shares` fixes the weights from a reference, such as the direct read-out of the mixture. Nothing
  feeds itself.
* `uniform` is plain null-space projection: consistent, but it gives every source the same part.
"""

from typing import Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gmsdi_jax.stft import apply_gain, istft, stft

_FLOOR = 1e-10  # power of a silent bin: keeps 0/0 out of the weights, 100 dB below full scale


class Allocation(Protocol):
    """A rule that splits a residual among the sources."""

    def __call__(
        self,
        answer: Float[Array, "b k t c"],
        residual: Float[Array, "b t c"],
        sigma: Float[Array, ""],
        /,
    ) -> Float[Array, "b k t c"]:
        """Parts that sum to `residual`."""
        ...


def uniform(
    answer: Float[Array, "b k t c"], residual: Float[Array, "b t c"], sigma: Float[Array, ""]
) -> Float[Array, "b k t c"]:
    """Every source gets the same part."""
    del sigma
    return jnp.broadcast_to(residual[:, None] / answer.shape[1], answer.shape)


def smooth(power: Float[Array, "*b n f"], frames: int, bins: int) -> Float[Array, "*b n f"]:
    """The running mean over ``frames x bins`` (odd numbers) cells; edges repeat."""
    lead = (1,) * (power.ndim - 2)
    n, f = frames // 2, bins // 2
    padded = jnp.pad(power, [(0, 0)] * (power.ndim - 2) + [(n, n), (f, f)], mode="edge")
    total = jax.lax.reduce_window(
        padded,
        0.0,  # a Python number: with an array, jit loses that this is a sum, and its gradient
        jax.lax.add,
        (*lead, frames, bins),
        (*lead, 1, 1),
        "VALID",
    )
    return total / (frames * bins)


def _spectrum(x: Float[Array, "*b t c"], size: int) -> Array:
    return stft(jnp.moveaxis(x, -1, -2), size, size // 4)


def _signal(z: Array, size: int, length: int) -> Float[Array, "*b t c"]:
    return jnp.moveaxis(istft(z, size, size // 4, length), -2, -1)


def _split(
    variance: Float[Array, "b k c n f"], signal: Float[Array, "b t c"], size: int
) -> Float[Array, "b k t c"]:
    """`signal` split in proportion to `variance`, bin by bin."""
    weights = variance / variance.sum(1, keepdims=True)
    parts = apply_gain(weights, _spectrum(signal, size)[:, None])
    return _signal(parts, size, signal.shape[1])


def local_power(size: int = 1024, frames: int = 3, bins: int = 3) -> Allocation:
    """Weights from the smoothed local power of the current answers (see the module docstring).

    Args:
        size: STFT size in samples; the hop is a quarter of it.
        frames: smoothing over time, an odd number of STFT frames.
        bins: smoothing over frequency, an odd number of bins.
    """

    def allocate(
        answer: Float[Array, "b k t c"], residual: Float[Array, "b t c"], sigma: Float[Array, ""]
    ) -> Float[Array, "b k t c"]:
        power = smooth(jnp.abs(_spectrum(answer, size)) ** 2, frames, bins) + _FLOOR
        return _split(power * sigma**2 / (power + sigma**2), residual, size)

    return allocate


def shares(
    reference: Float[Array, "b k t c"],
    size: int = 1024,
    frames: int = 3,
    bins: int = 3,
    exponent: float = 2.0,
) -> Allocation:
    """Fixed weights: the smoothed shares of `reference`, for instance a direct read-out.

    `exponent` is that of the amplitudes: 2 gives shares of power (Wiener), 1 of amplitude.
    """
    power = smooth(jnp.abs(_spectrum(reference, size)) ** 2, frames, bins) + _FLOOR
    power = power ** (exponent / 2)

    def allocate(
        answer: Float[Array, "b k t c"], residual: Float[Array, "b t c"], sigma: Float[Array, ""]
    ) -> Float[Array, "b k t c"]:
        del answer, sigma
        return _split(power, residual, size)

    return allocate


def wiener(
    stems: Float[Array, "b k t c"],
    mixture: Float[Array, "b t c"],
    size: int = 1024,
    frames: int = 3,
    bins: int = 3,
    exponent: float = 2.0,
) -> Float[Array, "b k t c"]:
    """The mixture filtered by the shares of `stems`: stems that sum to the mixture.

    SI-SDR rewards the posterior mean while a sampler returns one draw; the Wiener filter built from
    a draw is a cheap way back towards the mean.
    """
    split = shares(stems, size, frames, bins, exponent)
    return split(stems, mixture, jnp.zeros((), mixture.dtype))
