"""Classifier-free guidance, and negative prompts as another null."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from gmsdi_jax.types import Text, TextDenoiser


def join(first: Text, second: Text) -> Text:
    """Two texts as one batch, the shorter padded with masked tokens."""
    length = max(first.mask.shape[-1], second.mask.shape[-1])

    def padded(text: Text) -> Text:
        extra = length - text.mask.shape[-1]
        return Text(
            jnp.pad(text.embedding, ((0, 0), (0, extra), (0, 0))),
            jnp.pad(text.mask, ((0, 0), (0, extra))),
        )

    first, second = padded(first), padded(second)
    return Text(
        jnp.concatenate([first.embedding, second.embedding]),
        jnp.concatenate([first.mask, second.mask]),
    )


def guide(denoise: TextDenoiser, scale: float, null: Text) -> TextDenoiser:
    """``D(null) + scale (D(text) - D(null))``: scale 1 is off, both branches are one network call.

    Args:
        denoise: the text-conditional denoiser.
        scale: the guidance scale w; 1 returns `denoise` itself, 0 ignores the text.
        null: one row ``[1 s d]`` for all (the learned null, or a negative prompt), or a row per row
            of the batch.

    Source: classifier-free guidance in audio-diffusion-pytorch's convention. On denoisers and on
    scores it is the same affine combination.
    """
    if scale == 1:
        return denoise

    def guided(
        x: Float[Array, "b t c"], sigma: Float[Array, "*b"], text: Text
    ) -> Float[Array, "b t c"]:
        rows = x.shape[0]
        against = Text(*(jnp.broadcast_to(leaf, (rows, *leaf.shape[1:])) for leaf in null))
        levels = jnp.broadcast_to(sigma, (rows,))
        both = denoise(
            jnp.concatenate([x, x]), jnp.concatenate([levels, levels]), join(text, against)
        )
        return both[rows:] + scale * (both[:rows] - both[rows:])

    return guided
