"""The `tags` conditioner: a set of labels, one learned embedding each, and a learned null.

A window's text is the *set* of labels that sound in it. Attention and masked sums over the tokens
do not see their order, so ``"Bass, Drums"`` and ``"Drums, Bass"`` are one prompt. The empty set is
"no text": it is answered with the null embedding, which classifier-free guidance and text dropout
use.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from gmsdi_jax.models.layers import identity
from gmsdi_jax.types import Text, Tokens


@dataclass(frozen=True, kw_only=True)
class TagsConfig:
    """The vocabulary and the size of its embeddings."""

    labels: tuple[str, ...] = ("Bass", "Drums", "Guitar", "Piano")
    """The names a user may ask for, in the order of the data's presence vector."""
    features: int = 64
    """Size of one label's embedding."""


class Tags(nnx.Module):
    """Labels to `Text`: ``s`` tokens become ``s + 1``, the last being the null."""

    def __init__(self, config: TagsConfig, *, rngs: nnx.Rngs):
        """A table of one embedding per label and one for the null."""
        self.null = len(config.labels)
        # Orthogonal labels of equal length: no two start alike.
        self.table = nnx.Embed(
            self.null + 1, config.features, embedding_init=identity(2.0), rngs=rngs
        )

    def __call__(self, tokens: Tokens) -> Text:
        """The embeddings of the tokens; the null counts exactly where no token does."""
        null = jnp.full((*tokens.ids.shape[:-1], 1), self.null, tokens.ids.dtype)
        nothing = ~tokens.mask.any(-1, keepdims=True)
        embedding: Float[Array, "*b s d"] = self.table(jnp.concatenate([tokens.ids, null], -1))
        return Text(embedding, jnp.concatenate([tokens.mask, nothing], -1))
