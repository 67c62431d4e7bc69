"""From one model of mixtures to independent sources: the same denoiser, one text per source."""

import jax.numpy as jnp
from jaxtyping import Array, Float

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
