"""Solver steps: each fits beside the algorithm of its paper and sees only ``denoise(x, sigma)``.

The probability-flow ODE is ``dx/dsigma = (x - D(x, sigma)) / sigma``. A step takes the state from
``sigma`` to ``sigma_next``; stochasticity beyond the ancestral step is a wrapper (`churn`,
`resample`), not a flag of each step. One random key per window makes a window's result independent
of the batch around it.

Every step has the signature of `gmsdi_jax.types.Step`: keys ``[b]``, a denoiser, the state
``[b *x]`` in audio units, and two scalar noise levels (full scale = 1); it returns the new state.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from gmsdi_jax.types import Denoiser, MultiStep, Step


def window_noise(keys: Key[Array, " b"], x: Float[Array, "b *x"]) -> Float[Array, "b *x"]:
    """Unit white noise shaped like `x`, drawn window by window from that window's key."""
    return jax.vmap(lambda key: jax.random.normal(key, x.shape[1:], x.dtype))(keys)


def fold(keys: Key[Array, " b"], number: int | Array) -> Key[Array, " b"]:
    """One new key per window, derived from its key and `number`."""
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)


def slope(denoise: Denoiser, x: Float[Array, "*x"], sigma: Float[Array, ""]) -> Float[Array, "*x"]:
    """``dx/dsigma`` of the probability-flow ODE (Karras et al. 2022, eq. 3)."""
    return (x - denoise(x, sigma)) / sigma


def euler(keys, denoise, x, sigma, sigma_next):
    """Euler's method: first order, one denoiser call."""
    del keys
    return x + (sigma_next - sigma) * slope(denoise, x, sigma)


def heun(keys, denoise, x, sigma, sigma_next):
    """Heun's method (EDM algorithm 1): second order, two calls; Euler where it ends at 0."""
    del keys
    d = slope(denoise, x, sigma)
    x_euler = x + (sigma_next - sigma) * d
    # At sigma_next = 0 the second slope is 0/0; any other level keeps the discarded branch finite.
    d_next = slope(denoise, x_euler, jnp.where(sigma_next > 0, sigma_next, sigma))
    return jnp.where(sigma_next > 0, x + (sigma_next - sigma) * (d + d_next) / 2, x_euler)


def ancestral_levels(
    sigma: Float[Array, ""], sigma_next: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """``sigma_down, sigma_up``: where the ODE goes, and the noise that returns to sigma_next."""
    sigma_down = sigma_next**2 / sigma
    return sigma_down, jnp.sqrt(sigma_next**2 - sigma_down**2)


def euler_ancestral(keys, denoise, x, sigma, sigma_next):
    """Euler to sigma_down, then fresh noise (k-diffusion's ``sample_euler_ancestral``, eta = 1)."""
    sigma_down, sigma_up = ancestral_levels(sigma, sigma_next)
    x = x + (sigma_down - sigma) * slope(denoise, x, sigma)
    return x + sigma_up * window_noise(keys, x)


def adpm2(rho: float = 1.0) -> Step:
    """Ancestral DPM-2 of audio-diffusion-pytorch: midpoint ``((s^(1/rho) + d^(1/rho)) / 2)^rho``.

    rho = 1, the paper lineage's default, is the arithmetic midpoint; rho = inf the geometric one of
    k-diffusion's ``sample_dpm_2_ancestral``, with which a step down to 0 is Euler's.
    """

    def midpoint(sigma, sigma_down):
        if math.isinf(rho):
            return jnp.where(sigma_down > 0, jnp.sqrt(sigma * sigma_down), sigma)
        return ((sigma ** (1 / rho) + sigma_down ** (1 / rho)) / 2) ** rho

    def step(keys, denoise, x, sigma, sigma_next):
        sigma_down, sigma_up = ancestral_levels(sigma, sigma_next)
        sigma_mid = midpoint(sigma, sigma_down)
        x_mid = x + (sigma_mid - sigma) * slope(denoise, x, sigma)
        x = x + (sigma_down - sigma) * slope(denoise, x_mid, sigma_mid)
        return x + sigma_up * window_noise(keys, x)

    return step


def _dpmpp_2m(keys, denoise, x, memory, sigma, sigma_next):
    """From ``(x, (D, ln sigma) of the step before)``; ``h`` is a step's length in ``-ln sigma``."""
    del keys
    answer = denoise(x, sigma)
    before, log_before, is_first = memory
    log_sigma = jnp.log(sigma)
    last = sigma_next == 0
    h = log_sigma - jnp.log(jnp.where(last, sigma, sigma_next))
    ratio = jnp.where(is_first | last, 0, h / jnp.where(is_first, 1, log_before - log_sigma))
    ahead = answer + ratio / 2 * (answer - before)
    x = sigma_next / sigma * x + (1 - sigma_next / sigma) * ahead
    return x, (answer, log_sigma, jnp.zeros_like(is_first))


def _nothing_yet(x: Float[Array, "b *x"]):
    return jnp.zeros_like(x), jnp.zeros((), x.dtype), jnp.ones((), bool)


dpmpp_2m = MultiStep(_nothing_yet, _dpmpp_2m)
"""DPM-Solver++(2M), Lu et al. 2022, algorithm 2, in k-diffusion's form (``sample_dpmpp_2m``).

Second order from one denoiser call a step: the answer is extrapolated, along ``ln sigma``, from
the two latest ones. The first step, and one down to 0, are of first order. Deterministic."""


def daps(spread: Callable[[Array, Array, Array], Array]) -> Step:
    """Decoupled annealing: draw clean audio from the posterior at ``sigma``, add fresh noise.

    The state forgets all but the draw, so errors of earlier levels die out; with the right
    covariance and Gaussian sources the samples are exact from a handful of steps.

    Args:
        spread: ``(unit white noise, D(x), sigma)`` to deviations with the posterior's covariance,
            such as `gmsdi_jax.compose.BinAllocation.spread`; all arrays like x.

    Source: DAPS, Zhang et al. 2024 (2407.01521), with the denoiser's covariance instead of MCMC.
    """

    def step(keys, denoise, x, sigma, sigma_next):
        answer = denoise(x, sigma)
        clean = answer + spread(window_noise(fold(keys, 0), x), answer, sigma)
        return clean + sigma_next * window_noise(fold(keys, 1), x)

    return step


def churn(
    step: Step,
    s_churn: float,
    steps: int,
    s_min: float = 0.0,
    s_max: float = math.inf,
    s_noise: float = 1.0,
) -> Step:
    """The step after a rise of the noise level (EDM algorithm 2; MSDM's loop with `euler`).

    Between `s_min` and `s_max` the level rises by the factor ``1 + min(s_churn / steps, sqrt 2 -
    1)`` with fresh noise, and the step goes down from there. ``s_churn = 0`` is `step` itself.
    """
    gamma = min(s_churn / steps, math.sqrt(2) - 1)
    if gamma == 0:
        return step

    def churned(keys, denoise, x, sigma, sigma_next):
        inside = (s_min <= sigma) & (sigma <= s_max)
        sigma_hat = jnp.where(inside, sigma * (1 + gamma), sigma)
        # Not sqrt(sigma_hat^2 - sigma^2): where the two are equal a compiler may round it above 0.
        rise = jnp.where(inside, s_noise * math.sqrt(gamma * (2 + gamma)) * sigma, 0)
        x = x + rise * window_noise(fold(keys, 0), x)
        return step(fold(keys, 1), denoise, x, sigma_hat, sigma_next)

    return churned


def resample(step: Step, n: int) -> Step:
    """The step taken `n` times, with noise back to ``sigma`` in between (MSDM's ``num_resamples``).

    ``n = 1`` is `step` itself. A resampled step moves a composed denoiser's samples towards the
    composed density, which plain steps miss (`docs/math.md`).

    Raises:
        ValueError: `n` is below 1.
    """
    if n < 1:
        raise ValueError(f"resample takes a step at least once, got n={n}")
    if n == 1:
        return step

    def resampled(keys, denoise, x, sigma, sigma_next):
        back = jnp.sqrt(sigma**2 - sigma_next**2)
        for i in range(n):
            if i:
                x = x + back * window_noise(fold(keys, 2 * i), x)
            x = step(fold(keys, 2 * i + 1), denoise, x, sigma, sigma_next)
        return x

    return resampled
