"""Who gets the part of the mixture that the sources' denoisers leave unexplained.

An allocation splits a residual ``r`` into ``W_k r`` with ``sum_k W_k = 1``. The right weights come
from the posterior covariances, ``W_k = C_k (sum_j C_j)^-1``; here they are read off local power in
the time-frequency plane, which costs no network call.

* `local_power` takes ``C_k = P_k sigma^2 / (P_k + sigma^2)``, the posterior variance of a Gaussian
  bin of power ``P_k``, with ``P_k`` read off the current answer. On a weak prior it starves
  sources: an answer near zero yields a weight near zero, which feeds itself.
* `shares` fixes the weights from a reference, such as the direct read-out of the mixture. Nothing
  feeds itself.
* `uniform` is plain null-space projection: consistent, but it gives every source the same part.

Where ``C_k`` is known, so is the posterior covariance of the sources given their sum,
``C - C (sum C)^-1 C``: `BinAllocation.spread` draws from it, for decoupled annealing.
"""

from collections.abc import Callable
from dataclasses import dataclass
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


BinRule = Callable[[Float[Array, "b k t c"], Float[Array, ""]], Float[Array, "b k c n f"]]


@dataclass(frozen=True)
class BinAllocation:
    """An allocation by the variance of every source in every time-frequency bin."""

    variance: BinRule
    """From the answers and sigma to the posterior variances ``C_k``."""
    size: int
    """STFT size in samples; the hop is a quarter of it."""
    weights: BinRule | None = None
    """The same to what the split is in proportion to; by default the variances."""

    def __call__(
        self,
        answer: Float[Array, "b k t c"],
        residual: Float[Array, "b t c"],
        sigma: Float[Array, ""],
    ) -> Float[Array, "b k t c"]:
        """`residual` split in proportion to the weights, bin by bin."""
        weights = (self.weights or self.variance)(answer, sigma)
        parts = apply_gain(
            weights / weights.sum(1, keepdims=True), spectrum(residual, self.size)[:, None]
        )
        return signal(parts, self.size, residual.shape[1])

    def spread(
        self,
        noise: Float[Array, "b k t c"],
        answer: Float[Array, "b k t c"],
        sigma: Float[Array, ""],
    ) -> Float[Array, "b k t c"]:
        """Unit white `noise` given the covariance ``C - C (sum C)^-1 C``: its sources sum to 0."""
        variance = self.variance(answer, sigma)
        free = apply_gain(jnp.sqrt(variance), spectrum(noise, self.size))
        total = apply_gain(variance / variance.sum(1, keepdims=True), free.sum(1, keepdims=True))
        return signal(free - total, self.size, answer.shape[2])


def local_power(
    size: int = 1024,
    frames: int = 3,
    bins: int = 3,
    *,
    corrected: bool = False,
    floor: Float[Array, "b k t c"] | None = None,
) -> BinAllocation:
    """Weights from the smoothed local power of the current answers (see the module docstring).

    The answer of a Gaussian bin of power P has itself the power ``Q = P^2 / (P + sigma^2)``, far
    below P at high sigma. `corrected` inverts this, ``P = (Q + sqrt(Q^2 + 4 Q sigma^2)) / 2``;
    without it P is taken to be Q.

    Args:
        size: STFT size in samples; the hop is a quarter of it.
        frames: smoothing over time, an odd number of STFT frames.
        bins: smoothing over frequency, an odd number of bins.
        corrected: whether the shrinkage of the answer's power is undone.
        floor: stems whose local power is the least that a source is taken to have.
    """
    least = _FLOOR if floor is None else smooth_power(floor, size, frames, bins) + _FLOOR

    def variance(
        answer: Float[Array, "b k t c"], sigma: Float[Array, ""]
    ) -> Float[Array, "b k c n f"]:
        power = smooth_power(answer, size, frames, bins)
        if corrected:
            power = (power + jnp.sqrt(power**2 + 4 * power * sigma**2)) / 2
        return _posterior(jnp.maximum(power, least), sigma)

    return BinAllocation(variance, size)


def _posterior(power: Array, sigma: Float[Array, ""]) -> Array:
    """The variance of a Gaussian bin, given itself plus noise of level sigma."""
    return power * sigma**2 / (power + sigma**2)


def shares(
    reference: Float[Array, "b k t c"] | Float[Array, "b n k t c"],
    size: int = 1024,
    frames: int = 3,
    bins: int = 3,
    exponent: float = 2.0,
) -> BinAllocation:
    """Fixed weights: the smoothed shares of `reference`, for instance a direct read-out.

    Several draws ``[b n k t c]`` as a reference give the shares of their mean power. `exponent` is
    that of the amplitudes: 2 gives shares of power (Wiener), 1 of amplitude. To `spread`, a bin is
    a Gaussian of the reference's power.
    """
    power = smooth_power(reference, size, frames, bins)
    power = (power if reference.ndim == 4 else power.mean(1)) + _FLOOR
    return BinAllocation(
        lambda answer, sigma: _posterior(power, sigma),
        size,
        lambda answer, sigma: power ** (exponent / 2),
    )


def wiener(
    stems: Float[Array, "b k t c"] | Float[Array, "b n k t c"],
    mixture: Float[Array, "b t c"],
    size: int = 1024,
    frames: int = 3,
    bins: int = 3,
    exponent: float = 2.0,
    iterations: int = 1,
) -> Float[Array, "b k t c"]:
    """The mixture filtered by the shares of `stems`: stems that sum to the mixture.

    SI-SDR rewards the posterior mean while a sampler returns a draw; the Wiener filter built from
    one draw, or from the mean power of n draws ``[b n k t c]``, is a cheap way back towards the
    mean. Further `iterations` build the filter from its own result, as norbert's EM does.
    """
    for _ in range(iterations):
        split = shares(stems, size, frames, bins, exponent)
        like = jnp.broadcast_to(mixture[:, None], stems.shape[:1] + stems.shape[-3:])
        stems = split(like, mixture, jnp.zeros((), mixture.dtype))
    return stems


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


def smooth_power(
    x: Float[Array, "*b t c"], size: int, frames: int, bins: int
) -> Float[Array, "*b c n f"]:
    """The local power of `x`: the squared magnitude of its STFT, smoothed."""
    z = spectrum(x, size)
    return smooth(z.real**2 + z.imag**2, frames, bins)


def spectrum(x: Float[Array, "*b t c"], size: int) -> Array:
    """The STFT ``[*b c n f]`` with a hop of a quarter of `size` samples."""
    return stft(jnp.moveaxis(x, -1, -2), size, size // 4)


def signal(z: Array, size: int, length: int) -> Float[Array, "*b t c"]:
    """The inverse of `spectrum`."""
    return jnp.moveaxis(istft(z, size, size // 4, length), -2, -1)
