"""From one model of mixtures to independent sources: the same denoiser, one text per source.

A source may be a group of instruments (GMSDI eq. 11): its text then names all of them.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from gmsdi_jax.compose.allocation import signal, smooth_power, spectrum
from gmsdi_jax.stft import apply_gain
from gmsdi_jax.types import Denoiser, Text, TextDenoiser


def stack_texts(*texts: Text) -> Text:
    """Texts of one source each (``[s d]``) as the texts of several sources (``[k s d]``)."""
    length = max(text.mask.shape[-1] for text in texts)
    extra = [length - text.mask.shape[-1] for text in texts]
    return Text(
        jnp.stack(
            [jnp.pad(t.embedding, ((0, n), (0, 0))) for t, n in zip(texts, extra, strict=True)]
        ),
        jnp.stack([jnp.pad(t.mask, (0, n)) for t, n in zip(texts, extra, strict=True)]),
    )


def per_source(denoise: TextDenoiser, texts: Text) -> Denoiser:
    """Independent sources ``[b k t c]``: source k is denoised as ``D(x_k, sigma, text_k)``.

    Windows and sources are one batch axis: a single network call on ``b * k`` rows.

    Args:
        denoise: the text-conditional denoiser of one row.
        texts: one text per source for all windows (``[k s d]``) or for each (``[b k s d]``).

    Source: GMSDI eq. (5); the density is the product of the sources' conditional densities.
    """

    def joint(x: Float[Array, "b k t c"], sigma: Float[Array, ""]) -> Float[Array, "b k t c"]:
        b, k = x.shape[:2]
        rows = Text(
            jnp.broadcast_to(texts.embedding, (b, *texts.embedding.shape[-3:])),
            jnp.broadcast_to(texts.mask, (b, *texts.mask.shape[-2:])),
        )
        flat = Text(*(leaf.reshape(b * k, *leaf.shape[2:]) for leaf in rows))
        return denoise(x.reshape(b * k, *x.shape[2:]), sigma, flat).reshape(x.shape)

    return joint


def with_other(joint: Denoiser, other: Denoiser) -> Denoiser:
    """The sources of `joint` and, last, one more that `other` (of ``[b t c]``) denoises.

    For mixtures that hold more than was named: what no text explains has somewhere to go.
    """

    def denoise(x: Float[Array, "b k t c"], sigma: Float[Array, ""]) -> Float[Array, "b k t c"]:
        named, last = joint(x[:, :-1], sigma), other(x[:, -1], sigma)
        return jnp.concatenate([named, last[:, None]], axis=1)

    return denoise


def coloured(
    reference: Float[Array, "b t c"],
    share: float,
    size: int = 1024,
    frames: int = 9,
    bins: int = 9,
) -> Denoiser:
    """A prior without a network: Gaussian noise with `share` of the local power of `reference`.

    Its denoiser is a Wiener filter, ``P / (P + sigma^2)`` in every time-frequency bin. With the
    mixture as the reference it serves as the `other` of `with_other`.
    """
    power = share * smooth_power(reference, size, frames, bins)

    def denoise(x: Float[Array, "b t c"], sigma: Float[Array, ""]) -> Float[Array, "b t c"]:
        filtered = apply_gain(power / (power + sigma**2), spectrum(x, size))
        return signal(filtered, size, x.shape[1])

    return denoise
