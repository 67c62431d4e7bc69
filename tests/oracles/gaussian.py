"""Independent Gaussian sources, for which every answer is known, and exact moments of any sampler.

Source k is ``N(0, v_k)`` sample by sample: a sample stands for one bin of an orthonormal
time-frequency plane, where coloured sources are diagonal. Then

* the denoiser is ``v / (v + sigma^2) x``,
* sources given their sum ``y`` have mean ``v_k / S y`` and covariance ``v_k [k=l] - v_k v_l / S``,
  with ``S = sum v``,
* every solver step is affine in the state, in the mixture and in the noise it draws. `moments`
  feeds a step one unit vector of each and so gets the mean and the covariance of its samples
  without a single random number.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gmsdi_jax.diffusion import steps
from gmsdi_jax.types import Denoiser, Step


class Moments(NamedTuple):
    """Samples of sources given the mixture, bin by bin: ``x = gain y + N(0, covariance)``."""

    gain: Float[Array, "k t"]
    covariance: Float[Array, "k k t"]


def prior(variance: Float[Array, "k t"], mean: Float[Array, "k t"] | float = 0.0) -> Denoiser:
    """The joint denoiser of the sources ``[b k t 1]``."""
    v = jnp.asarray(variance)[None, ..., None]
    m = jnp.broadcast_to(jnp.asarray(mean, v.dtype), v.shape[1:3])[None, ..., None]
    return lambda x, sigma: m + v / (v + sigma**2) * (x - m)


def posterior(variance: Float[np.ndarray, "k t"]) -> Moments:
    """The exact moments of the sources given their sum."""
    total = variance.sum(0)
    diagonal = np.eye(len(variance))[:, :, None] * variance[:, None]
    return Moments(variance / total, diagonal - variance[:, None] * variance / total)


def by_covariance(variance: Float[Array, "k t"]):
    """The allocation that `project` is exact with: ``C_k = sigma^2 dD_k/dx = v s / (v + s)``."""
    v = jnp.asarray(variance)[None, ..., None]

    def allocate(answer, residual, sigma):
        c = v * sigma**2 / (v + sigma**2)
        return c / c.sum(1, keepdims=True) * residual[:, None]

    return allocate


def spectra(k: int = 4, bins: int = 256, spread: float = 10.0) -> Float[np.ndarray, "k t"]:
    """Variances, log-normal over the bins with `spread` in dB; the mixture's rms is 0.2."""
    levels = 10 ** (np.random.default_rng(1).standard_normal((k, bins)) * spread / 10)
    return 0.2**2 * levels / levels.sum(0).mean()


@contextmanager
def noise(draw: Callable[[int, Array], Array]) -> Iterator[list[int]]:
    """Has solver steps draw ``draw(number, x)`` instead of noise; yields the list of draws."""
    drawn: list[int] = []

    def window_noise(keys, x):
        drawn.append(len(drawn))
        return draw(drawn[-1], x)

    with mock.patch.object(steps, "window_noise", window_noise):
        yield drawn


def moments(
    step: Step,
    denoiser: Callable[[Float[Array, "b t 1"]], Denoiser],
    sigmas: Float[Array, " n"],
    start: Moments,
) -> Moments:
    """What `step` makes of `start`, down `sigmas`: exact for linear denoisers, bin by bin.

    `denoiser` makes the denoiser for a batch of mixtures, as ``lambda y: dirac(prior(v), y)``.
    """
    k, t = start.gain.shape
    unit = jnp.broadcast_to(jnp.eye(k)[:, :, None, None], (k, k, t, 1))

    def unit_at(first, rows):
        return jnp.zeros((rows, k, t, 1)).at[first : first + k].set(unit)

    def take(mixture, x, sigma, sigma_next):
        keys = jax.random.split(jax.random.key(0), x.shape[0])
        return step(keys, denoiser(mixture), x, sigma, sigma_next)

    with noise(lambda number, x: x) as drawn:
        jax.eval_shape(take, jnp.ones((1, t, 1)), unit[:1], sigmas[0], sigmas[1])
    draws = len(drawn)

    def body(now, levels):
        rows = 1 + k + draws * k
        mixture = jnp.zeros((rows, t, 1)).at[0].set(1.0)
        x = unit_at(1, rows)
        with noise(lambda number, x: unit_at(1 + k + number * k, rows)):
            answers = take(mixture, x, *levels)[..., 0]
        push, move, kicks = answers[0], answers[1 : 1 + k], answers[1 + k :]
        gain = jnp.einsum("jkt,jt->kt", move, now.gain) + push
        covariance = jnp.einsum("ikt,ijt,jlt->klt", move, now.covariance, move)
        return Moments(gain, covariance + jnp.einsum("ikt,ilt->klt", kicks, kicks)), None

    return jax.jit(lambda now, levels: jax.lax.scan(body, now, levels)[0])(
        start, (sigmas[:-1], sigmas[1:])
    )


def white(k: int, t: int, variance: float | Array) -> Moments:
    """Where samplers start: sources unrelated to the mixture, of the given variance."""
    level = jnp.asarray(variance, jnp.zeros(()).dtype)
    return Moments(jnp.zeros((k, t)), level * jnp.broadcast_to(jnp.eye(k)[:, :, None], (k, k, t)))


def completed(free: Moments) -> Moments:
    """The moments of all sources when the last is the mixture less the others."""
    k = free.gain.shape[0]
    rows = jnp.concatenate([jnp.eye(k), -jnp.ones((1, k))])
    gain = jnp.concatenate([free.gain, 1 - free.gain.sum(0, keepdims=True)])
    return Moments(gain, jnp.einsum("ki,ijt,lj->klt", rows, free.covariance, rows))


def bias(found: Moments, variance: Float[np.ndarray, "k t"]) -> float:
    """The rms error of the mean over all bins and mixtures, in rms posterior deviations."""
    exact = posterior(variance)
    error = ((np.asarray(found.gain) - exact.gain) ** 2 * variance.sum(0)).mean()
    return float(np.sqrt(error / np.einsum("kkt->kt", exact.covariance).mean()))
