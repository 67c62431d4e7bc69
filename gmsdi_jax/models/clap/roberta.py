"""CLAP's text branch: RoBERTa, a transformer encoder with norms after each residual.

The answer is a dense layer with tanh on the first token, ``<s>``. Positions count the tokens that
are not padding and begin after the padding token's number, a habit of fairseq.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from gmsdi_jax.models.clap.config import RobertaConfig
from gmsdi_jax.models.norms import LayerNorm
from gmsdi_jax.models.stack import run, stack


class Roberta(nnx.Module):
    """Token numbers to one vector per text."""

    def __init__(self, config: RobertaConfig, *, rngs: nnx.Rngs):
        """All weights, drawn from `rngs`."""
        self.pad = config.pad
        self.words = nnx.Embed(config.vocabulary, config.features, rngs=rngs)
        self.positions = nnx.Embed(config.positions, config.features, rngs=rngs)
        self.types = nnx.Embed(config.types, config.features, rngs=rngs)
        self.norm = LayerNorm(config.features, bias=True, epsilon=config.epsilon)
        self.layers = stack(lambda rngs: Layer(config, rngs=rngs), config.layers, rngs)
        self.pool = nnx.Linear(config.features, config.features, rngs=rngs)

    def __call__(self, ids: Int[Array, "b s"], mask: Bool[Array, "b s"]) -> Float[Array, "b d"]:
        """The pooled first token; `mask` says which tokens are seen."""
        x = run(self.layers, self.embed(ids), lambda layer, x: layer(x, mask))
        return jnp.tanh(self.pool(x[:, 0]))

    def embed(self, ids: Int[Array, "b s"]) -> Float[Array, "b s d"]:
        """What enters the first layer: word, position and token type, summed and normed."""
        counts = (ids != self.pad).astype(ids.dtype)
        positions = jnp.cumsum(counts, -1, dtype=ids.dtype) * counts + self.pad
        x = self.words.embedding[...][ids] + self.positions.embedding[...][positions]
        return self.norm(x + self.types.embedding[0][None, None])


class Layer(nnx.Module):
    """Self-attention and a feed-forward network, each added and then normed."""

    def __init__(self, config: RobertaConfig, *, rngs: nnx.Rngs):
        """One of `config.layers`."""
        self.heads = config.heads
        features = config.features
        self.qkv = nnx.Linear(features, 3 * features, rngs=rngs)
        self.out = nnx.Linear(features, features, rngs=rngs)
        self.norm1 = LayerNorm(features, bias=True, epsilon=config.epsilon)
        self.up = nnx.Linear(features, config.mlp, rngs=rngs)
        self.down = nnx.Linear(config.mlp, features, rngs=rngs)
        self.norm2 = LayerNorm(features, bias=True, epsilon=config.epsilon)

    def __call__(self, x: Float[Array, "b s d"], mask: Bool[Array, "b s"]) -> Float[Array, "b s d"]:
        """The tokens after the layer."""
        x = self.norm1(x + self.out(self._attend(x, mask)))
        h = jax.nn.gelu(self.up(x), approximate=False)
        return self.norm2(x + self.down(h))

    def _attend(self, x: Float[Array, "b s d"], mask: Bool[Array, "b s"]) -> Float[Array, "b s d"]:
        qkv = self.qkv(x).reshape(*x.shape[:2], 3, self.heads, -1)
        query, key, value = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        logits = jnp.einsum("bqhd,bkhd->bhqk", query * query.shape[-1] ** -0.5, key)
        # The least finite number: a row without any token must not become NaN.
        logits = jnp.where(mask[:, None, None], logits.astype(jnp.float32), jnp.finfo("f4").min)
        weights = jax.nn.softmax(logits, -1).astype(value.dtype)
        return jnp.einsum("bhqk,bkhd->bqhd", weights, value).reshape(x.shape)
