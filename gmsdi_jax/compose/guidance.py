"""Classifier-free guidance, and negative prompts as another null."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gmsdi_jax.compose.sources import stack_texts
from gmsdi_jax.types import Text, TextDenoiser


def alternate(first: Text, second: Text) -> Text:
    """Rows of two texts in turn, ``first[0], second[0], first[1], ...``, padded alike."""
    both = jax.vmap(stack_texts)(first, second)
    return Text(*(leaf.reshape(-1, *leaf.shape[2:]) for leaf in both))


def guide(
    denoise: TextDenoiser,
    scale: float,
    null: Text,
    interval: tuple[float, float] | None = None,
) -> TextDenoiser:
    """``D(null) + scale (D(text) - D(null))``: scale 1 is off, both branches are one network call.

    Args:
        denoise: the text-conditional denoiser.
        scale: the guidance scale w; 1 returns `denoise` itself, 0 ignores the text.
        null: what to point away from: the learned null or negative prompts, ``[r s d]``. The r
            texts repeat over the rows of the batch: one for all, one per source, or one per row.
        interval: the noise levels, both ends included, at which to guide; elsewhere the scale is 1
            and the second branch is not computed. By default all.

    Source: classifier-free guidance in audio-diffusion-pytorch's convention. On denoisers and on
    scores it is the same affine combination. Interval: Kynkaanniemi et al. 2024.
    """
    if scale == 1:
        return denoise

    def guided(
        x: Float[Array, "b t c"], sigma: Float[Array, "*b"], text: Text
    ) -> Float[Array, "b t c"]:
        rows, texts = x.shape[0], null.mask.shape[0]
        against = Text(*(jnp.tile(leaf, (rows // texts, *(1,) * (leaf.ndim - 1))) for leaf in null))
        levels = jnp.broadcast_to(sigma, (rows,))
        # The branches of a row stay side by side, so that sharded rows keep both on one device.
        both = denoise(jnp.repeat(x, 2, 0), jnp.repeat(levels, 2), alternate(text, against))
        toward, away = both[0::2], both[1::2]
        return away + scale * (toward - away)

    if interval is None:
        return guided
    low, high = interval

    def within(
        x: Float[Array, "b t c"], sigma: Float[Array, "*b"], text: Text
    ) -> Float[Array, "b t c"]:
        inside = (low <= sigma) & (sigma <= high)
        if inside.ndim == 0:
            return jax.lax.cond(inside, guided, denoise, x, sigma, text)
        return jnp.where(inside[:, None, None], guided(x, sigma, text), denoise(x, sigma, text))

    return within
