"""Sparse sources whose posterior is not Gaussian, and how to tell whether draws come from it.

Each bin of a source is Gaussian with a variance that is itself drawn, anew for every bin: nearly
silent, soft or loud, as the bins of music are. Then, bin by bin and in closed form,

* the denoiser, and the covariance of what it denoises, by the responsibilities of the variances;
* sources given their sum: a mixture of one Gaussian per combination of variances. Its distribution
  function turns a draw of source k into a number that is uniform on [0, 1] if, and over all bins
  only if, draws come from the posterior: the Kolmogorov-Smirnov distance from uniform measures
  *calibration*. True sources are such draws themselves.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import ndtr
from scipy.stats import kstest

from gmsdi_jax.compose import project
from gmsdi_jax.diffusion import daps
from gmsdi_jax.types import Denoiser, Step

_SCALES = np.array([[1.0], [0.7], [0.5]])
VARIANCE = np.array([1e-4, 1e-2, 1.0]) * _SCALES**2
"""Of each source (rows) when silent, soft and loud; full scale = 1."""
PROBABILITY = np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.6, 0.2, 0.2]])
"""Of each source (rows) to be silent, soft or loud in a bin."""
K = len(VARIANCE)
_COMBINATIONS = np.array(list(itertools.product(range(VARIANCE.shape[1]), repeat=K)))


def draw(rng: np.random.Generator, bins: int) -> Float[np.ndarray, "k t"]:
    """Independent sources."""
    loudness = np.stack([rng.choice(len(p), bins, p=p) for p in PROBABILITY])
    return rng.standard_normal((K, bins)) * np.sqrt(np.take_along_axis(VARIANCE, loudness, 1))


def log_density(x: Float[Array, "k t 1"], sigma: Float[Array, ""]) -> Float[Array, ""]:
    """``log p_sigma(x)`` of independent noisy sources."""
    noisy = jnp.asarray(VARIANCE, x.dtype)[:, None, None] + sigma**2
    exponents = -(x[..., None] ** 2) / (2 * noisy) - jnp.log(2 * jnp.pi * noisy) / 2
    weights = jnp.log(jnp.asarray(PROBABILITY, x.dtype))[:, None, None]
    return jax.nn.logsumexp(weights + exponents, axis=-1).sum()


def answer_and_covariance(
    x: Float[Array, "b k t 1"], sigma: Float[Array, ""]
) -> tuple[Float[Array, "b k t 1"], Float[Array, "b k t 1"]]:
    """The posterior mean and variance of independent sources given their noisy selves."""

    def of_source(source):
        x, variance, log_weight = source
        noisy = variance + sigma**2
        logits = [
            w - jnp.log(n) / 2 - x**2 / (2 * n) for w, n in zip(log_weight, noisy, strict=True)
        ]
        top = jnp.maximum(logits[0], jnp.maximum(logits[1], logits[2]))
        likely = [jnp.exp(logit - top) for logit in logits]
        gains = list(variance / noisy)
        total = sum(likely)
        gain = sum(r * g for r, g in zip(likely, gains, strict=True)) / total
        square = sum(r * g**2 for r, g in zip(likely, gains, strict=True)) / total
        return gain * x, sigma**2 * gain + (square - gain**2) * x**2

    # Source by source: XLA would otherwise compute all of it anew for every use of its results.
    sources = (
        jnp.moveaxis(x, 1, 0),
        jnp.asarray(VARIANCE, x.dtype),
        jnp.log(jnp.asarray(PROBABILITY, x.dtype)),
    )
    mean, covariance = jax.lax.map(of_source, sources)
    return jnp.moveaxis(mean, 0, 1), jnp.moveaxis(covariance, 0, 1)


def denoise(x: Float[Array, "b k t 1"], sigma: Float[Array, ""]) -> Float[Array, "b k t 1"]:
    """The posterior mean of independent sources given their noisy selves."""
    return answer_and_covariance(x, sigma)[0]


def project_by_covariance(mixture: Float[Array, "b t 1"]) -> Denoiser:
    """`project` with the posterior covariance in closed form."""

    def projected(x, sigma):
        answer, c = answer_and_covariance(x, sigma)
        share = c / c.sum(1, keepdims=True)
        by_share = lambda answer, residual, sigma: share * residual[:, None]  # noqa: E731
        return project(lambda x, sigma: answer, mixture, by_share)(x, sigma)

    return projected


def daps_by_covariance() -> Step:
    """`daps` with the posterior covariance, given the sum, of Gaussian sources."""

    def step(keys, denoise, x, sigma, sigma_next):
        c = answer_and_covariance(x, sigma)[1]

        def spread(noise, answer, sigma):
            free = jnp.sqrt(c) * noise
            return free - c / c.sum(1, keepdims=True) * free.sum(1, keepdims=True)

        return daps(spread)(keys, denoise, x, sigma, sigma_next)

    return step


class Posterior(NamedTuple):
    """The sources given their sum, bin by bin: a mixture over the combinations m of variances."""

    mixture: Float[np.ndarray, " t"]
    weight: Float[np.ndarray, "m t"]
    gain: Float[np.ndarray, "m k"]
    """Of each combination: the mean is gain times the mixture."""
    variance: Float[np.ndarray, "m k"]

    def mean(self) -> Float[np.ndarray, "k t"]:
        """The best estimate of the sources."""
        return np.einsum("mt,mk->kt", self.weight, self.gain) * self.mixture

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "k t"]:
        """Sources from the posterior, which sum to the mixture."""
        chosen = (self.weight.cumsum(0) < rng.random(self.mixture.shape)).sum(0)
        prior = np.sqrt(VARIANCE[np.arange(K)[:, None], _COMBINATIONS[chosen].T])
        free = prior * rng.standard_normal(prior.shape)
        return free + self.gain[chosen].T * (self.mixture - free.sum(0))

    def calibration(self, draws: Float[np.ndarray, "k t"]) -> Float[np.ndarray, " k"]:
        """The Kolmogorov-Smirnov distance of each source's draws, one a bin, from the posterior."""
        levels = (draws[None] - self.gain[..., None] * self.mixture) / np.sqrt(self.variance)[
            ..., None
        ]
        uniform = np.einsum("mt,mkt->kt", self.weight, ndtr(levels))
        return np.array([kstest(u, "uniform").statistic for u in uniform])


def posterior(mixture: Float[np.ndarray, " t"]) -> Posterior:
    """The exact posterior of the sources."""
    prior = VARIANCE[np.arange(K), _COMBINATIONS]
    total = prior.sum(1)
    log_prior = np.log(PROBABILITY[np.arange(K), _COMBINATIONS]).sum(1)
    logits = (log_prior - np.log(total) / 2)[:, None] - mixture**2 / (2 * total[:, None])
    weight = np.exp(logits - logits.max(0))
    share = prior / total[:, None]
    return Posterior(mixture, weight / weight.sum(0), share, prior * (1 - share))
