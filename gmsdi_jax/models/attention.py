"""Multi-head attention over time, to itself or to text tokens, in two published layouts.

Both are audio-diffusion-pytorch's. Version 0.0.43 has norms without bias, one more norm for a
context, and a norm after the way out. Version 0.0.97 (`biased`) has biases in the norms and on the
way out, always a norm of its own for what is attended to, and none after. Softmax is in float32.
Tokens that do not count get no weight; the published networks have no such mask and attend to
padding.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from gmsdi_jax.models.linear import linear
from gmsdi_jax.models.norms import LayerNorm


class Attention(nnx.Module):
    """Queries from the signal; keys and values from the signal itself or from a context."""

    def __init__(
        self,
        features: int,
        heads: int,
        head_features: int,
        context_features: int | None = None,
        *,
        biased: bool = False,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        """`context_features` None means self-attention."""
        self.heads = heads
        inner, own = heads * head_features, context_features is None
        context = features if context_features is None else context_features
        self.norm = LayerNorm(features, bias=biased)
        self.norm_context = None if own and not biased else LayerNorm(context, bias=biased)
        self.query = linear(features, inner, bias=False, dtype=dtype, rngs=rngs)
        self.key_value = linear(context, 2 * inner, bias=False, dtype=dtype, rngs=rngs)
        self.out = linear(inner, features, bias=biased, dtype=dtype, rngs=rngs)
        self.norm_out = None if biased else LayerNorm(features)

    def __call__(
        self,
        x: Float[Array, "b n d"],
        context: Float[Array, "b s e"] | None = None,
        mask: Bool[Array, "b s"] | None = None,
    ) -> Float[Array, "b n d"]:
        """What attention adds to `x`; the residual is the caller's."""
        source, x = x if context is None else context, self.norm(x)
        source = x if self.norm_context is None else self.norm_context(source)
        query = self._by_head(self.query(x))
        key, value = map(self._by_head, jnp.split(self.key_value(source), 2, -1))
        query = query * query.shape[-1] ** -0.5
        logits = jnp.einsum("bnhd,bshd->bhns", query, key, preferred_element_type=jnp.float32)
        if mask is not None:
            logits = jnp.where(mask[:, None, None], logits, -jnp.inf)
        weights = jax.nn.softmax(logits, -1).astype(value.dtype)
        mixed = jnp.einsum("bhns,bshd->bnhd", weights, value)
        out = self.out(mixed.reshape(*mixed.shape[:2], -1))
        return out if self.norm_out is None else self.norm_out(out)

    def _by_head(self, x: Float[Array, "b n e"]) -> Float[Array, "b n h d"]:
        return x.reshape(*x.shape[:2], self.heads, -1)
