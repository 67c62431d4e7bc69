"""Multi-head attention over time, to itself or to text tokens.

The layout is audio-diffusion-pytorch 0.0.43's: LayerNorms without bias before and after (one for
the signal, one more for a context), projections without bias, softmax in float32. Masked tokens get
no weight.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

EPSILON = 1e-5
"""Added to every norm's variance; PyTorch's default, which published weights were trained with."""


def layer_norm(features: int, *, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """A LayerNorm with a scale and no bias, as everywhere in this U-Net."""
    return nnx.LayerNorm(features, use_bias=False, epsilon=EPSILON, rngs=rngs)


class Attention(nnx.Module):
    """Queries from the signal; keys and values from the signal itself or from a context."""

    def __init__(
        self,
        features: int,
        heads: int,
        head_features: int,
        context_features: int | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        """`context_features` None means self-attention."""
        self.heads = heads
        inner = heads * head_features
        self.norm = layer_norm(features, rngs=rngs)
        if context_features is None:
            self.norm_context, context = None, features
        else:
            self.norm_context, context = layer_norm(context_features, rngs=rngs), context_features
        self.query = nnx.Linear(features, inner, use_bias=False, rngs=rngs)
        self.key_value = nnx.Linear(context, 2 * inner, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(inner, features, use_bias=False, rngs=rngs)
        self.norm_out = layer_norm(features, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b n d"],
        context: Float[Array, "b s e"] | None = None,
        mask: Bool[Array, "b s"] | None = None,
    ) -> Float[Array, "b n d"]:
        """What attention adds to `x`; the residual is the caller's."""
        x = self.norm(x)
        source = x if self.norm_context is None else self.norm_context(context)
        query = self._by_head(self.query(x))
        key, value = map(self._by_head, jnp.split(self.key_value(source), 2, -1))
        logits = jnp.einsum("bnhd,bshd->bhns", query, key) / jnp.sqrt(
            jnp.asarray(query.shape[-1], query.dtype)
        )
        logits = logits.astype(jnp.float32)
        if mask is not None:
            logits = jnp.where(mask[:, None, None], logits, -jnp.inf)
        weights = jax.nn.softmax(logits, -1).astype(value.dtype)
        mixed = jnp.einsum("bhns,bshd->bnhd", weights, value)
        return self.norm_out(self.out(mixed.reshape(*mixed.shape[:2], -1)))

    def _by_head(self, x: Float[Array, "b n e"]) -> Float[Array, "b n h d"]:
        return x.reshape(*x.shape[:2], self.heads, -1)
