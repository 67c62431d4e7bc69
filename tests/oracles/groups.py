"""Sources that come and go, and a prior that may be wrong about how often: why stems starve.

Time-frequency bins form groups. In each group a source either sounds, with a known variance, or is
all but silent; whether it does is a coin toss of the group. A denoiser sees a whole group and so
knows, at low sigma, whether its source sounds; at high sigma it can only say how often it does. All
is in closed form: the denoiser, and the posterior given the mixture (a mixture of ``2^k`` Gaussians
per group), both under any belief about the coin.

A model that underrates a source ("a weak prior") is a belief with too small a probability. Its
exact posterior can be compared with what the samplers make of the same denoiser.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

SILENT = 1e-7


class Groups(NamedTuple):
    """Sources of ``t = g n`` bins in g groups of n; white within a group where they sound."""

    variance: Float[np.ndarray, "k g"]
    """Of each source in each group where it sounds."""
    probability: Float[np.ndarray, " k"]
    """That a source sounds in a group."""
    bins: int
    """Per group."""

    def believing(self, probability: Float[np.ndarray, " k"]) -> "Groups":
        """The same sources as a model sees them that is wrong about how often they sound."""
        return self._replace(probability=np.asarray(probability))

    def draw(self, rng: np.random.Generator, b: int) -> Float[Array, "b k t 1"]:
        """Windows of stems."""
        k, g = self.variance.shape
        sounds = rng.random((b, k, g)) < self.probability[:, None]
        scale = np.sqrt(np.where(sounds, self.variance, SILENT))[..., None]
        stems = scale * rng.standard_normal((b, k, g, self.bins))
        return jnp.asarray(stems.reshape(b, k, g * self.bins, 1), jnp.float32)

    def grouped(self, x: Float[Array, "*b t 1"]) -> Float[Array, "*b g n"]:
        """Bins by group."""
        return x.reshape(*x.shape[:-2], -1, self.bins)

    def denoise(
        self, x: Float[Array, "b k t 1"], sigma: Float[Array, ""]
    ) -> Float[Array, "b k t 1"]:
        """The posterior mean of independent stems given their noisy selves."""
        z, v = self.grouped(x), jnp.asarray(self.variance, x.dtype)[None]
        odds = self.probability / (1 - self.probability)
        loud, quiet = v + sigma**2, SILENT + sigma**2
        energy = (z**2).sum(-1)
        log_odds = jnp.asarray(np.log(odds), x.dtype)[None, :, None] - 0.5 * (
            self.bins * (jnp.log(loud) - jnp.log(quiet)) + energy * (1 / loud - 1 / quiet)
        )
        sounds = jax.nn.sigmoid(log_odds)
        gain = sounds * v / loud + (1 - sounds) * SILENT / quiet
        return (gain[..., None] * z).reshape(x.shape)

    def posterior_draw(
        self, rng: np.random.Generator, mixture: Float[Array, "b t 1"]
    ) -> Float[Array, "b k t 1"]:
        """Exact draws of the stems given their sum, under this belief."""
        y = np.asarray(self.grouped(mixture), np.float64)
        k = len(self.probability)
        states = np.array(list(itertools.product([False, True], repeat=k)))
        variances = np.where(states[:, :, None], self.variance, SILENT)  # [states k g]
        total = variances.sum(1)
        prior = np.where(states, np.log(self.probability), np.log(1 - self.probability)).sum(1)
        log_weight = prior[:, None] - 0.5 * (
            self.bins * np.log(total) + (y**2).sum(-1)[:, None] / total
        )  # [b states g]
        chosen = (log_weight + rng.gumbel(size=log_weight.shape)).argmax(1)  # [b g]
        v = np.moveaxis(variances[chosen, :, np.arange(y.shape[1])], -1, 1)[..., None]
        free = np.sqrt(v) * rng.standard_normal((*v.shape[:3], self.bins))
        stems = free + v / v.sum(1, keepdims=True) * (y - free.sum(1))[:, None]
        return jnp.asarray(stems.reshape(len(y), k, -1, 1), jnp.float32)

    def power(self, x: Float[Array, "b k t 1"]) -> Float[Array, "b k t 1"]:
        """The mean power of each group, at each of its bins."""
        z = self.grouped(x)
        return jnp.broadcast_to((z**2).mean(-1, keepdims=True), z.shape).reshape(x.shape)

    @property
    def class_power(self) -> Float[Array, "1 k t 1"]:
        """What a class has on average: all that a static filter knows."""
        mean = self.variance * self.probability[:, None]
        return jnp.asarray(np.repeat(mean, self.bins, 1), jnp.float32)[None, ..., None]


def split(variance: Float[Array, "#b k t 1"], residual: Float[Array, "b t 1"]):
    """The residual in proportion to the variances, bin by bin."""
    return variance / variance.sum(1, keepdims=True) * residual[:, None]


def by_local_power(truth: Groups, floor: float = 0.0):
    """`compose.local_power`, with groups of bins in the place of the smoothed STFT.

    `floor` is the least power of a source, as a share of its class's.
    """
    least = floor * truth.class_power + 1e-12

    def allocate(answer, residual, sigma):
        power = jnp.maximum(truth.power(answer), least)
        return split(power * sigma**2 / (power + sigma**2), residual)

    return allocate


def by_class(truth: Groups):
    """The shares that a static filter would give the mixture."""
    return lambda answer, residual, sigma: split(truth.class_power, residual)


def groups(k: int = 4, count: int = 64, bins: int = 8) -> Groups:
    """`k` sources that sound three times out of five, their spectra spread by 6 dB."""
    levels = 10 ** (np.random.default_rng(0).standard_normal((k, count)) * 6 / 10)
    scale = np.where(np.arange(k) < k / 2, 0.1, 0.08)[:, None] ** 2
    return Groups(scale * levels / levels.mean(1, keepdims=True), np.full(k, 0.6), bins)


def level(estimate: Float[Array, "b k t 1"], stems: Float[Array, "b k t 1"]) -> np.ndarray:
    """The power of each source's estimates relative to the truth, dB, ``[k]``."""
    power = [(np.asarray(x, np.float64) ** 2).sum((0, 2, 3)) for x in (estimate, stems)]
    return 10 * np.log10(power[0] / power[1])


def improvement(
    estimate: Float[Array, "b k t 1"],
    stems: Float[Array, "b k t 1"],
    mixture: Float[Array, "b t 1"],
) -> np.ndarray:
    """SI-SDR improvement of each source, dB, averaged over windows, ``[k]``."""

    def si_sdr(e: np.ndarray, s: np.ndarray) -> np.ndarray:
        target = (e * s).sum(2, keepdims=True) / (s * s).sum(2, keepdims=True) * s
        return 10 * np.log10((target**2).sum(2) / ((e - target) ** 2).sum(2))

    e, s, y = (np.asarray(x, np.float64) for x in (estimate, stems, mixture))
    return (si_sdr(e, s) - si_sdr(np.broadcast_to(y[:, None], s.shape), s))[..., 0].mean(0)
