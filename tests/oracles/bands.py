"""Coloured sources with a known prior: Gaussian noise in bands whose power changes over time.

In an orthonormal Fourier transform of consecutive blocks the sources are independent bin by bin, so
their denoiser and their posterior mean are Wiener filters there. The filters under test use another
transform, of overlapping frames, and know nothing of the blocks.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

BLOCK = 512


class Bands(NamedTuple):
    """The power of every source in every bin of every block."""

    power: Float[Array, "k n f"]

    def filter(self, gain: Float[Array, "k n f"], x: Float[Array, "b k t 1"]):
        """`x` with each bin of each source multiplied by its gain."""
        z = jnp.fft.rfft(x.reshape(*x.shape[:2], -1, BLOCK), norm="ortho")
        gain = jnp.broadcast_to(gain[None], z.shape)
        y = jnp.fft.irfft(jax.lax.complex(gain * z.real, gain * z.imag), BLOCK, norm="ortho")
        return y.reshape(x.shape)

    def draw(self, rng: np.random.Generator, b: int) -> Float[Array, "b k t 1"]:
        """Windows of stems."""
        k, n, _ = self.power.shape
        white = jnp.asarray(rng.standard_normal((b, k, n * BLOCK, 1)), jnp.float32)
        return self.filter(jnp.sqrt(self.power), white)

    def denoise(
        self, x: Float[Array, "b k t 1"], sigma: Float[Array, ""]
    ) -> Float[Array, "b k t 1"]:
        """The posterior mean of independent stems given their noisy selves."""
        return self.filter(self.power / (self.power + sigma**2), x)

    def by_covariance(self, answer, residual, sigma):
        """The allocation that projection is exact with."""
        c = self.power * sigma**2 / (self.power + sigma**2)
        return self.filter(c / c.sum(0)[None], jnp.broadcast_to(residual[:, None], answer.shape))

    def deviations(self, noise, answer, sigma):
        """What `daps` is exact with: noise of the covariance of the stems given their sum."""
        c = self.power * sigma**2 / (self.power + sigma**2)
        free = self.filter(jnp.sqrt(c), noise)
        return free - self.by_covariance(answer, free.sum(1), sigma)

    def posterior_draws(self, rng: np.random.Generator, mixture: Float[Array, "b t 1"], n: int):
        """Exact draws ``[b n k t 1]`` of the stems given their sum."""
        free = jnp.stack([self.draw(rng, mixture.shape[0]) for _ in range(n)], 1)
        left = mixture[:, None] - free.sum(2)
        parts = jnp.stack([self.posterior_mean(left[:, i]) for i in range(n)], 1)
        return free + parts

    def posterior_mean(self, mixture: Float[Array, "b t 1"]) -> Float[Array, "b k t 1"]:
        """The best estimate of the stems given their sum."""
        b, t, c = mixture.shape
        rows = jnp.broadcast_to(mixture[:, None], (b, self.power.shape[0], t, c))
        return self.filter(self.power / self.power.sum(0)[None], rows)


def bands(k: int = 4, blocks: int = 8, spread: float = 10.0) -> Bands:
    """`k` sources of 16 bands whose power spreads by `spread` dB and changes every second block."""
    rng = np.random.default_rng(0)
    power = 10 ** (rng.standard_normal((k, blocks // 2, 16)) * spread / 10)
    power = power.repeat(2, 1).repeat(BLOCK // 32, 2)
    power = np.concatenate([power, power[..., -1:]], -1)
    return Bands(jnp.asarray(0.2**2 * power / power.sum(0).mean(), jnp.float32))


def si_sdr(estimate: Float[Array, "b k t 1"], stems: Float[Array, "b k t 1"]) -> float:
    """Scale-invariant signal-to-distortion ratio in dB, averaged over windows and stems."""
    e, s = np.asarray(estimate, np.float64), np.asarray(stems, np.float64)
    target = (e * s).sum(2, keepdims=True) / (s * s).sum(2, keepdims=True) * s
    ratio = (target**2).sum(2) / ((e - target) ** 2).sum(2)
    return float((10 * np.log10(ratio)).mean())
