"""Independent Gaussian sources, for which every answer is known, and exact moments of any sampler.

Source k is ``N(0, v_k)`` sample by sample: a sample stands for one bin of an orthonormal
time-frequency plane, where coloured sources are diagonal. Then

* the denoiser is ``v / (v + sigma^2) x``,
* sources given their sum ``y`` have mean ``v_k / S y`` and covariance ``v_k [k=l] - v_k v_l / S``,
  with ``S = sum v``,
* every solver step is affine in the state, in the mixture and in the noise it draws. `moments`
  feeds a step one unit vector of each and so gets the mean and the covariance of its samples
  without a single random number. Of a step with memory, which draws nothing, it feeds the whole
  path.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gmsdi_jax.diffusion import sample, steps
from gmsdi_jax.types import Denoiser, MultiStep, Step

Composed = Callable[[Float[Array, "b t 1"]], Denoiser]
"""From a batch of mixtures to their denoiser, as ``lambda y: dirac(prior(v), y)``."""


_HASTE = {"xla_backend_optimization_level": 0}  # these maps take longer to compile than to run


class Moments(NamedTuple):
    """Samples of sources given the mixture, bin by bin: ``x = gain y + N(0, covariance)``."""

    gain: Float[np.ndarray, "k t"]
    covariance: Float[np.ndarray, "k k t"]


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


def noisy(clean: Moments, sigma: float) -> Moments:
    """The same sources in white noise of level `sigma`: the exact state from which to start."""
    k, t = clean.gain.shape
    return Moments(clean.gain, clean.covariance + white(k, t, sigma**2).covariance)


def by_covariance(variance: Float[Array, "k t"]):
    """The allocation that `project` is exact with: ``C_k = sigma^2 dD_k/dx = v s / (v + s)``."""
    v = jnp.asarray(variance)[None, ..., None]

    def allocate(answer, residual, sigma):
        c = v * sigma**2 / (v + sigma**2)
        return c / c.sum(1, keepdims=True) * residual[:, None]

    return allocate


def deviations(variance: Float[Array, "k t"]):
    """What `daps` is exact with: noise of covariance ``C - C (sum C)^-1 C``, with C as above."""
    v, split = jnp.asarray(variance)[None, ..., None], by_covariance(variance)

    def spread(noise, answer, sigma):
        free = jnp.sqrt(v * sigma**2 / (v + sigma**2)) * noise
        return free - split(answer, free.sum(1), sigma)

    return spread


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

    # Keys lead nowhere here: to fold them would only take time to compile.
    same = mock.patch.object(steps, "fold", lambda keys, number: keys)
    with same, mock.patch.object(steps, "window_noise", window_noise):
        yield drawn


def moments(
    step: Step | MultiStep, denoiser: Composed, sigmas: Float[Array, " n"], start: Moments
) -> Moments:
    """What `step` makes of `start`, down `sigmas`: exact for linear denoisers, bin by bin."""
    if isinstance(step, MultiStep):
        return _of_path(step, denoiser, sigmas, start)
    now, advance = start, transition(step, denoiser, *start.gain.shape)
    for sigma, sigma_next in itertools.pairwise(np.asarray(sigmas)):
        now = advance(now, sigma, sigma_next)
    return Moments(*map(np.asarray, now))


@cache
def transition(
    step: Step, denoiser: Composed, k: int, t: int
) -> Callable[[Moments, Array, Array], Moments]:
    """One step of `moments`: from moments at ``sigma`` to moments at ``sigma_next``."""

    def take(mixture, x, sigma, sigma_next):
        return step(_keys(x), denoiser(mixture), x, sigma, sigma_next)

    with noise(lambda number, x: x) as drawn:
        level = jnp.ones(())
        jax.eval_shape(take, jnp.ones((1, t, 1)), jnp.ones((1, k, t, 1)), level, level / 2)
    draws = len(drawn)

    @partial(jax.jit, compiler_options=_HASTE)
    def advance(now, sigma, sigma_next):
        rows = 1 + k + draws * k
        with noise(lambda number, x: _units(1 + k + number * k, rows, k, t)):
            answers = take(_one(rows, t), _units(1, rows, k, t), sigma, sigma_next)
        return _after(answers[..., 0], now)

    return advance


def _of_path(step: MultiStep, denoiser: Composed, sigmas, start: Moments) -> Moments:
    """`moments` of a step with memory: its whole path is one linear map."""
    k, t = start.gain.shape

    @partial(jax.jit, compiler_options=_HASTE)
    def run(start):
        x = _units(1, 1 + k, k, t)
        answers = sample(_keys(x), denoiser(_one(1 + k, t)), step, sigmas, x)
        return _after(answers[..., 0], start)

    with noise(lambda number, x: x) as drawn:
        found = run(start)
    assert not drawn, "a step with memory that draws noise has no such map"
    return Moments(*map(np.asarray, found))


def _after(answers: Float[Array, "rows k t"], now: Moments) -> Moments:
    """The moments behind a map whose answers to a mixture of 1, to each unit of the state, and to
    each unit of noise stand in rows."""
    k = now.gain.shape[0]
    push, move, kicks = answers[0], answers[1 : 1 + k], answers[1 + k :]
    gain = jnp.einsum("jkt,jt->kt", move, now.gain) + push
    covariance = jnp.einsum("ikt,ijt,jlt->klt", move, now.covariance, move)
    return Moments(gain, covariance + jnp.einsum("ikt,ilt->klt", kicks, kicks))


def _keys(x: Array) -> Array:
    return jax.random.split(jax.random.key(0), x.shape[0])


def _one(rows: int, t: int) -> Float[Array, "rows t 1"]:
    return jnp.zeros((rows, t, 1)).at[0].set(1.0)


def _units(first: int, rows: int, k: int, t: int) -> Float[Array, "rows k t 1"]:
    """Unit vectors of the k sources in the rows from `first` on, in every bin at once."""
    unit = jnp.broadcast_to(jnp.eye(k)[:, :, None, None], (k, k, t, 1))
    return jnp.zeros((rows, k, t, 1)).at[first : first + k].set(unit)


def white(k: int, t: int, variance: float | Array) -> Moments:
    """Where samplers start: sources unrelated to the mixture, of the given variance."""
    unit = np.broadcast_to(np.eye(k)[:, :, None], (k, k, t))
    return Moments(np.zeros((k, t)), np.asarray(variance) * unit)


def completed(free: Moments, constrained: int = -1) -> Moments:
    """The moments of all sources when one, `constrained`, is the mixture less the others."""
    gain, covariance = np.asarray(free.gain), np.asarray(free.covariance)
    k = len(gain)
    at = constrained % (k + 1)
    rows = np.insert(np.eye(k), at, -1.0, axis=0)
    gain = np.insert(gain, at, 1 - gain.sum(0), axis=0)
    return Moments(gain, np.einsum("ki,ijt,lj->klt", rows, covariance, rows))


def average(runs: list[Moments]) -> Moments:
    """The moments of the mean of independent draws, one from each of `runs`."""
    n = len(runs)
    return Moments(sum(run.gain for run in runs) / n, sum(run.covariance for run in runs) / n**2)


def bias(found: Moments, variance: Float[np.ndarray, "k t"]) -> float:
    """The rms error of the mean over all bins and mixtures, in rms posterior deviations."""
    exact = posterior(variance)
    error = ((found.gain - exact.gain) ** 2 * variance.sum(0)).mean()
    return float(np.sqrt(error / np.einsum("kkt->kt", exact.covariance).mean()))


def covariance_error(found: Moments, variance: Float[np.ndarray, "k t"]) -> float:
    """The error of the covariance over the covariance, both as Frobenius norms over all bins."""
    exact = posterior(variance).covariance
    return float(np.sqrt(((found.covariance - exact) ** 2).sum() / (exact**2).sum()))


def spread_ratio(found: Moments, variance: Float[np.ndarray, "k t"]) -> float:
    """The samples' variance over the posterior's, both averaged over sources and bins."""
    exact = posterior(variance).covariance
    return float(np.einsum("kkt->", found.covariance) / np.einsum("kkt->", exact))


def sdr(found: Moments, variance: Float[np.ndarray, "k t"], draws: float = 1) -> float:
    """The signal-to-distortion ratio of the mean of so many draws: power over squared error, dB."""
    energy, hit = _energies(found, variance, draws)
    error = energy.sum() - 2 * hit.sum() + variance.sum()
    return float(10 * np.log10(variance.sum() / error))


def si_sdr_gain(found: Moments, variance: Float[np.ndarray, "k t"], draws: float = 1) -> float:
    """The improvement of SI-SDR over the mixture, in dB, averaged over sources.

    Of windows so long that every sum over bins is its expectation: with ``r`` the squared
    correlation of estimate and source, SI-SDR is ``r / (1 - r)``.
    """
    energy, hit = _energies(found, variance, draws)
    power, total = variance.sum(1), variance.sum()

    def decibels(r):
        return 10 * np.log10(r / (1 - r))

    return float((decibels(hit**2 / (power * energy)) - decibels(power / total)).mean())


def _energies(found: Moments, variance: Float[np.ndarray, "k t"], draws: float):
    """Per source: the energy of the mean of `draws`, and what of it meets the source, expected."""
    own = np.einsum("kkt->kt", found.covariance)
    energy = found.gain**2 * variance.sum(0) + own / draws
    return energy.sum(1), (found.gain * variance).sum(1)
