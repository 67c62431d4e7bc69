"""Constraints: known sources, and sources that must sum to a mixture.

Arrays are ``[b k t c]`` sources and ``[b t c]`` mixtures. Write ``D_k`` for the joint denoiser's
answer for source k, ``y`` for the mixture, ``r = y - sum_k D_k`` for what the answers leave
unexplained.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gmsdi_jax.compose.allocation import Allocation
from gmsdi_jax.types import Denoiser


def clamp(joint: Denoiser, known: Float[Array, "b k t c"], is_known: Bool[Array, " k"]) -> Denoiser:
    """Known sources answer with themselves; the others are left to `joint`.

    No sampler hook is needed: a path that starts at ``known + sigma eps`` and is denoised to
    `known` stays ``known + sigma eps`` at every level, exactly, for every solver. Source:
    imputation of MSDM; GMSDI eq. (12) for the observed sources.
    """

    def denoise(x: Float[Array, "b k t c"], sigma: Float[Array, ""]) -> Float[Array, "b k t c"]:
        return jnp.where(is_known[None, :, None, None], known, joint(x, sigma))

    return denoise


def complete(
    free: Float[Array, "b j t c"], mixture: Float[Array, "b t c"]
) -> Float[Array, "b k t c"]:
    """The free sources and, last, ``y - sum``: all k = j + 1 sources, summing to the mixture."""
    return jnp.concatenate([free, (mixture - free.sum(1))[:, None]], axis=1)


def dirac(joint: Denoiser, mixture: Float[Array, "b t c"]) -> Denoiser:
    """The paper's separator: the last source is whatever the others leave, ``x_K = y - sum x_k``.

    The free sources ``[b k-1 t c]`` answer with ``D_k + (x_K - D_K)``: in scores, ``S_k - S_K``.
    Finish with `complete`, so that the stems sum to the mixture to rounding.
    Source: MSDM eq. (9); GMSDI eqs. (4), (13), (14). The mixture is clean and the last source is
    denoised at sigma, as in the paper, although it carries the noise of all the others.
    """

    def denoise(free: Float[Array, "b j t c"], sigma: Float[Array, ""]) -> Float[Array, "b j t c"]:
        x = complete(free, mixture)
        answer = joint(x, sigma)
        return answer[:, :-1] + (x[:, -1:] - answer[:, -1:])

    return denoise


def gaussian(
    joint: Denoiser,
    mixture: Float[Array, "b t c"],
    gamma: Callable[[Float[Array, ""]], Float[Array, ""]],
) -> Denoiser:
    """The mixture observed with Gaussian error: ``D_k + (sigma / gamma)^2 (y - sum x)``.

    `gamma` maps sigma to the error's standard deviation. MSDM's code has ``2 gamma^2`` where the
    Gaussian has ``gamma^2``: pass ``sqrt 2`` times its gamma to reproduce it.
    Source: MSDM, the Gaussian likelihood of section 4.
    """

    def denoise(x: Float[Array, "b k t c"], sigma: Float[Array, ""]) -> Float[Array, "b k t c"]:
        error = mixture - x.sum(1)
        return joint(x, sigma) + ((sigma / gamma(sigma)) ** 2 * error)[:, None]

    return denoise


def project(joint: Denoiser, mixture: Float[Array, "b t c"], allocate: Allocation) -> Denoiser:
    """``D_k + W_k r`` with ``sum_k W_k = 1``: the answers sum to the mixture at every noise level.

    With the posterior covariance ``C_k = sigma^2 dD_k/dx`` and ``W_k = C_k (sum C)^-1`` this is the
    exact conditional denoiser of Gaussian sources, where `dirac` is biased whatever the number of
    steps. See `gmsdi_jax.compose.allocation` for weights that need no derivative.
    """

    def denoise(x: Float[Array, "b k t c"], sigma: Float[Array, ""]) -> Float[Array, "b k t c"]:
        answer = joint(x, sigma)
        return answer + allocate(answer, mixture - answer.sum(1), sigma)

    return denoise
