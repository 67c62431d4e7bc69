"""The paper's tasks, each a few lines of the algebra in `gmsdi_jax.compose`.

`separator`, `extractor`, `projector`, `generate` and `accompany` return a denoiser for a sampler;
`direct` needs none. Shapes: mixtures ``[b t c]``, stems ``[b k t c]``, texts ``[k s d]``.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from gmsdi_jax.compose import (
    Allocation,
    clamp,
    couple,
    dirac,
    per_source,
    project,
    stack_texts,
    wiener,
)
from gmsdi_jax.compose.coupling import Form, Gamma
from gmsdi_jax.diffusion.steps import fold, window_noise
from gmsdi_jax.types import Denoiser, Text, TextDenoiser

_READ_OUT = 2**31 - 2  # folded into a window's key: no solver step draws the read-out's noise


def separator(denoise: TextDenoiser, texts: Text, mixture: Float[Array, "b t c"]) -> Denoiser:
    """The Separator (GMSDI eq. 13): k texts, k - 1 free sources; the last text is constrained."""
    return dirac(per_source(denoise, texts), mixture)


def extractor(
    denoise: TextDenoiser, text: Text, rest: Text, mixture: Float[Array, "b t c"]
) -> Denoiser:
    """The Extractor (GMSDI eq. 14): one stem against the text of all the others, each ``[s d]``."""
    return dirac(per_source(denoise, stack_texts(text, rest)), mixture)


def projector(
    denoise: TextDenoiser, texts: Text, mixture: Float[Array, "b t c"], allocate: Allocation
) -> Denoiser:
    """Beyond the paper: every denoised estimate is projected on the mixture (`compose.project`)."""
    return project(per_source(denoise, texts), mixture, allocate)


def generate(
    denoise: TextDenoiser,
    texts: Text,
    form: Form = "difference",
    gamma: float | Gamma = 2.0,
    text_mixture: Text | None = None,
) -> Denoiser:
    """Total generation (GMSDI eqs. 10 and 11): all stems at once, coupled.

    `text_mixture`, the text of all stems together (``[s d]``), is needed by the forms ``mixture``
    and ``projected`` only. One stem alone has nothing to be coupled with.
    """
    if texts.mask.shape[-2] == 1:
        return per_source(denoise, texts)
    mixture = None if text_mixture is None else _of_one(denoise, text_mixture)
    return couple(per_source(denoise, texts), form, gamma, mixture)


def accompany(
    denoise: TextDenoiser,
    texts: Text,
    known: Float[Array, "b k t c"],
    is_known: Bool[Array, " k"] | Bool[Array, "k t"],
    form: Form = "difference",
    gamma: float | Gamma = 2.0,
    text_mixture: Text | None = None,
) -> Denoiser:
    """Partial generation (GMSDI eq. 12): `generate` with some stems, or samples of them, known."""
    return clamp(generate(denoise, texts, form, gamma, text_mixture), known, is_known)


def read_out(
    keys: Key[Array, " b"],
    denoise: TextDenoiser,
    texts: Text,
    mixture: Float[Array, "b t c"],
    sigmas: tuple[float, ...] = (0.02, 0.05, 0.1),
) -> Float[Array, "b k t c"]:
    """The mean over `sigmas` of ``D(y + sigma eps, sigma, text_k)``, without a sampler.

    The denoiser is asked for one stem of the *mixture*. That is not what the paper's model is
    trained to answer; label-disjoint mixing of mixtures trains exactly this. All sources hear the
    same noise. The stems need not sum to the mixture.
    """
    joint, keys = per_source(denoise, texts), fold(keys, _READ_OUT)
    k = texts.mask.shape[-2]
    total = jnp.zeros((mixture.shape[0], k, *mixture.shape[1:]), mixture.dtype)
    for number, sigma in enumerate(sigmas):
        noisy = mixture + sigma * window_noise(fold(keys, number), mixture)
        rows = jnp.broadcast_to(noisy[:, None], total.shape)
        total = total + joint(rows, jnp.asarray(sigma, mixture.dtype))
    return total / len(sigmas)


def direct(
    keys: Key[Array, " b"],
    denoise: TextDenoiser,
    texts: Text,
    mixture: Float[Array, "b t c"],
    sigmas: tuple[float, ...] = (0.02, 0.05, 0.1),
    exponent: float = 2.0,
) -> Float[Array, "b k t c"]:
    """`read_out`, made to sum to the mixture by a filter of its shares (see `compose.wiener`)."""
    return wiener(read_out(keys, denoise, texts, mixture, sigmas), mixture, exponent=exponent)


def _of_one(denoise: TextDenoiser, text: Text) -> Denoiser:
    """The denoiser of ``[b t c]`` for one text ``[s d]``."""

    def one(x: Float[Array, "b t c"], sigma: Float[Array, ""]) -> Float[Array, "b t c"]:
        rows = Text(*(jnp.broadcast_to(leaf, (x.shape[0], *leaf.shape)) for leaf in text))
        return denoise(x, sigma, rows)

    return one
