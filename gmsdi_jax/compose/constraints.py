"""Constraints: known sources, and sources that must sum to a mixture.

Arrays are ``[b k t c]`` sources and ``[b t c]`` mixtures. Write ``D_k`` for the joint denoiser's
answer for source k, ``y`` for the mixture, ``r = y - sum_k D_k`` for what the answers leave
unexplained.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gmsdi_jax.compose.allocation import Allocation, uniform
from gmsdi_jax.types import Denoiser


def clamp(
    joint: Denoiser,
    known: Float[Array, "b k t c"],
    is_known: Bool[Array, " k"] | Bool[Array, "k t"] | Bool[Array, "#b #k #t #c"],
) -> Denoiser:
    """What is known answers with itself; the rest is left to `joint`.

    No sampler hook is needed: a path that starts at ``known + sigma eps`` and is denoised to
    `known` stays ``known + sigma eps`` at every level, exactly, for every solver.

    Args:
        joint: the denoiser of all sources.
        known: the known sources; what stands elsewhere is not read.
        is_known: which sources, or which samples of which sources, are known.

    Source: imputation of MSDM; GMSDI eq. (12) for the observed sources.
    """
    here = jnp.asarray(is_known)
    if here.ndim < 4:
        here = here.reshape(1, *here.shape, *(1,) * (3 - here.ndim))

    def denoise(x: Float[Array, "b k t c"], sigma: Float[Array, ""]) -> Float[Array, "b k t c"]:
        return jnp.where(here, known, joint(x, sigma))

    return denoise


def complete(
    free: Float[Array, "b j t c"], mixture: Float[Array, "b t c"], constrained: int = -1
) -> Float[Array, "b k t c"]:
    """All k = j + 1 sources, summing to the mixture: ``y - sum`` takes place `constrained`."""
    at = constrained % (free.shape[1] + 1)
    rest = (mixture - free.sum(1))[:, None]
    return jnp.concatenate([free[:, :at], rest, free[:, at:]], axis=1)


def dirac(joint: Denoiser, mixture: Float[Array, "b t c"], constrained: int = -1) -> Denoiser:
    """The paper's separator: one source, c, is whatever the others leave, ``x_c = y - sum x_k``.

    The free sources ``[b k-1 t c]`` answer with ``D_k + (x_c - D_c)``: in scores, ``S_k - S_c``.
    Finish with `complete`, so that the stems sum to the mixture to rounding.
    Source: MSDM eq. (9); GMSDI eqs. (4), (13), (14). The mixture is clean and the constrained
    source is denoised at sigma, as in the paper, although it carries the noise of all the others.
    """

    def denoise(free: Float[Array, "b j t c"], sigma: Float[Array, ""]) -> Float[Array, "b j t c"]:
        x = complete(free, mixture, constrained)
        answer = joint(x, sigma)
        at = constrained % x.shape[1]
        noise = (x - answer)[:, at : at + 1]
        return jnp.concatenate([answer[:, :at], answer[:, at + 1 :]], axis=1) + noise

    return denoise


def gaussian(
    joint: Denoiser,
    mixture: Float[Array, "b t c"],
    gamma: Callable[[Float[Array, ""]], Float[Array, ""]],
    factor: float = 1.0,
) -> Denoiser:
    """The mixture observed with Gaussian error: ``D_k + factor (sigma / gamma)^2 (y - sum x)``.

    `gamma` maps sigma to the error's standard deviation, full scale = 1. ``factor = 1`` is the
    Gaussian; MSDM's code has ``1 / 2 gamma^2`` where the Gaussian's gradient has ``1 / gamma^2``:
    ``factor = 0.5`` reproduces it.
    Source: MSDM, the Gaussian likelihood of section 4.
    """

    def denoise(x: Float[Array, "b k t c"], sigma: Float[Array, ""]) -> Float[Array, "b k t c"]:
        error = mixture - x.sum(1)
        return joint(x, sigma) + (factor * (sigma / gamma(sigma)) ** 2 * error)[:, None]

    return denoise


def project(joint: Denoiser, mixture: Float[Array, "b t c"], allocate: Allocation) -> Denoiser:
    """``D_k + W_k r`` with ``sum_k W_k = 1``: the answers sum to the mixture at every noise level.

    With the posterior covariance ``C_k = sigma^2 dD_k/dx`` and ``W_k = C_k (sum C)^-1`` this is the
    exact conditional denoiser of Gaussian sources, where `dirac` is biased whatever the number of
    steps. See `gmsdi_jax.compose.allocation` for weights that need no derivative, and
    `project_by_covariance` for those that take it.
    """

    def denoise(x: Float[Array, "b k t c"], sigma: Float[Array, ""]) -> Float[Array, "b k t c"]:
        answer = joint(x, sigma)
        return answer + allocate(answer, mixture - answer.sum(1), sigma)

    return denoise


def project_by_covariance(
    joint: Denoiser, mixture: Float[Array, "b t c"], iterations: int = 4
) -> Denoiser:
    """`project` with the denoiser's own posterior covariance, ``C_k = sigma^2 dD_k/dx``.

    ``W_k r = C_k u`` with ``(sum_j C_j) u = r``, solved by `iterations` steps of conjugate
    gradients from Jacobian-vector products, window by window; each product costs about one
    evaluation. What the steps leave unsolved is split evenly, so that the answers sum to the
    mixture. The Jacobian is taken to be symmetric, as it is for every exact denoiser, and the
    sources to be independent; under guidance it is no covariance.

    Source: Tweedie's second-order formula; TMPD (Boys et al. 2023), PiGDM (Song et al. 2023).
    """

    def denoise(x: Float[Array, "b k t c"], sigma: Float[Array, ""]) -> Float[Array, "b k t c"]:
        answer, jacobian = jax.linearize(lambda x: joint(x, sigma), x)

        def spread(u: Float[Array, "b t c"]) -> Float[Array, "b k t c"]:
            return sigma**2 * jacobian(jnp.broadcast_to(u[:, None], x.shape))

        residual = mixture - answer.sum(1)
        parts = spread(_conjugate_gradients(lambda u: spread(u).sum(1), residual, iterations))
        return answer + parts + uniform(answer, residual - parts.sum(1), sigma)

    return denoise


def _conjugate_gradients(
    matrix: Callable[[Array], Array], right: Float[Array, "b t c"], iterations: int
) -> Float[Array, "b t c"]:
    """An approximate solution of ``matrix(u) = right``, every window with step sizes of its own."""

    def dot(a: Array, b: Array) -> Float[Array, "b 1 1"]:
        return (a * b).sum((1, 2), keepdims=True)

    def ratio(a: Array, b: Array) -> Array:
        return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)  # solved: nothing moves any more

    def body(_, state):
        u, rest, direction, energy = state
        image = matrix(direction)
        length = ratio(energy, dot(direction, image))
        u, rest = u + length * direction, rest - length * image
        left = dot(rest, rest)
        return u, rest, rest + ratio(left, energy) * direction, left

    start = (jnp.zeros_like(right), right, right, dot(right, right))
    return jax.lax.fori_loop(0, iterations, body, start)[0]
