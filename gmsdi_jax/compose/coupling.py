"""Coupling for total and partial generation: sources that know of each other.

The text of GMSDI, eqs. (8)-(12), couples source k with the rest ``x_rest = sum_{l != k} x_l`` by a
Gaussian of standard deviation gamma. Three readings exist, and the audio that the authors
published correlates negatively with its conditioning, which the text's form does not produce. All
three are here:

============== ================================== ===========================================
form           added to ``D_k``                    log-density added
============== ================================== ===========================================
``difference`` ``(sigma/gamma)^2 (x_rest - x_k)``  ``(|sum x|^2 - 2 sum |x_k|^2) / 2 gamma^2``
``sum``        ``-(sigma/gamma)^2 (x_rest + x_k)`` ``-|sum x|^2 / 2 gamma^2``
``mixture``    ``w (D_mix(sum x) - sum x)``        ``w log p_sigma(sum x)``
============== ================================== ===========================================

``difference`` is the paper's text and the default. For two sources its density is
``-|x_1 - x_2|^2 / 2 gamma^2``.

All three claim energy twice: independent sources and their coupling both have an opinion on the
sum. With ``mixture`` and w = 1 the sum is 3 dB too quiet even where all priors are right. The
fourth form, ours, is the correction:

``projected``: ``D_k + W_k (D_mix(sum x, sqrt(K) sigma) - sum_l D_l)``, with ``sum_k W_k = 1``

The sum of K noisy sources is a noisy mixture at level ``sqrt(K) sigma``. Under this form it follows
the mixture model's own path, for any weights and any solver: the stems sum to a sample of the
mixture model, and are separated while they are drawn.
"""

import math
from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gmsdi_jax.compose.allocation import Allocation, local_power
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.types import Denoiser

Form = Literal["difference", "sum", "mixture", "projected"]
FORMS: tuple[Form, ...] = get_args(Form)
Gamma = Callable[[Float[Array, ""]], Float[Array, ""]]


def proportional(c: float) -> Gamma:
    """``gamma = c * sigma``, MSDM's schedule (its c is 0.75)."""
    return lambda sigma: c * sigma


def couple(
    joint: Denoiser,
    form: Form = "difference",
    gamma: float | Gamma = 2.0,
    mixture: Denoiser | None = None,
    weight: float = 1.0,
    allocate: Allocation | None = None,
) -> Denoiser:
    """Sources ``[b k t c]`` drawn together instead of one by one.

    Args:
        joint: the denoiser of independent sources, `per_source`.
        form: one of the forms above.
        gamma: standard deviation of the coupling, full scale = 1: a number, or a function of sigma
            such as ``proportional(2.0)``. See `stable_gamma` for which values a grid supports.
        mixture: for ``mixture`` and ``projected``, the model's denoiser of the sum, ``[b t c]``.
        weight: for form ``mixture``, the weight w.
        allocate: for form ``projected``, the weights W; by default `local_power`, corrected.

    Raises:
        ConfigError: a form that needs the mixture's denoiser without it, or an unknown form.
    """
    if form not in FORMS:
        raise ConfigError(f"coupling form {form!r} is unknown: use {', '.join(FORMS)}")
    if form in ("mixture", "projected"):
        if mixture is None:
            raise ConfigError(f"coupling form {form!r} needs the denoiser of the mixture")
        if form == "mixture":
            return _with_mixture(joint, mixture, weight)
        return _projected(joint, mixture, allocate or local_power(corrected=True))
    width = gamma if callable(gamma) else lambda sigma: jnp.asarray(gamma, sigma.dtype)

    def denoise(x: Float[Array, "b k t c"], sigma: Float[Array, ""]) -> Float[Array, "b k t c"]:
        total = x.sum(1, keepdims=True)
        pull = total - 2 * x if form == "difference" else jnp.broadcast_to(-total, x.shape)
        return joint(x, sigma) + (sigma / width(sigma)) ** 2 * pull

    return denoise


def _with_mixture(joint: Denoiser, mixture: Denoiser, weight: float) -> Denoiser:
    def denoise(x: Float[Array, "b k t c"], sigma: Float[Array, ""]) -> Float[Array, "b k t c"]:
        total = x.sum(1)
        return joint(x, sigma) + weight * (mixture(total, sigma) - total)[:, None]

    return denoise


def _projected(joint: Denoiser, mixture: Denoiser, allocate: Allocation) -> Denoiser:
    def denoise(x: Float[Array, "b k t c"], sigma: Float[Array, ""]) -> Float[Array, "b k t c"]:
        answer, level = joint(x, sigma), math.sqrt(x.shape[1]) * sigma
        return answer + allocate(answer, mixture(x.sum(1), level) - answer.sum(1), sigma)

    return denoise


def stable_gamma(
    form: Form, sources: int, sigmas: Float[Array, " n"], gamma: float | Gamma
) -> float | Gamma:
    """`gamma` itself, if explicit Euler steps down `sigmas` do not blow the coupling up.

    The coupling's stiffest mode decays at rate ``m sigma / gamma^2`` with ``m = 2`` (difference) or
    ``m = sources`` (sum); Euler is stable while ``m sigma (sigma - sigma_next) / gamma^2 <= 2``.

    From three sources on, ``difference`` also has a common mode that *grows*, at rate
    ``(sources - 2) sigma / gamma^2``; only a tighter prior holds it, which no grid can check.

    Raises:
        ConfigError: `gamma` is too small for the grid; the message names the smallest that is not.
    """
    if form in ("mixture", "projected") or sources == 1:
        return gamma
    stiffness = 2 if form == "difference" else sources
    drop = sigmas[:-1] * (sigmas[:-1] - sigmas[1:])
    width = jax.vmap(gamma)(sigmas[:-1]) if callable(gamma) else jnp.full_like(drop, gamma)
    excess = float(jnp.sqrt(jnp.max(stiffness * drop / (2 * width**2))))
    if excess <= 1.0 + 1e-6:
        return gamma
    cure = (
        f"a {_rounded_up(excess)} times larger function"
        if callable(gamma)
        else f"{_rounded_up(excess * gamma)} or more"
    )
    raise ConfigError(
        f"gamma is too small for coupling form {form!r} on this grid of {len(sigmas) - 1} steps: "
        f"use {cure}, or more steps"
    )


def _rounded_up(value: float) -> str:
    """Three digits that are not below `value`: the number named must be one that is accepted."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return f"{math.ceil(value / step) * step:.3g}"
