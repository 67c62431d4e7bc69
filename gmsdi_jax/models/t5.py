"""The encoder of T5 and T5 v1.1: token numbers to hidden states.

A stack of equal layers around a residual stream. Each adds self-attention and then a feed-forward
network, and norms what they read by its root mean square. Nothing has a bias, and queries are not
scaled by the size of a head. Positions enter as one learned number per head and *bucket* of
distances, added to the attention's logits, the same numbers in every layer.

All is computed in float32, and at full precision on every device: texts are encoded once, so there
is no time to win. Tokens that do not count are seen by none, but have states themselves.

Source: Raffel et al. 2020 (1910.10683); Shazeer 2020 (2002.05202) for the gate of v1.1.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from gmsdi_jax.models.stack import run, stack


@dataclass(frozen=True, kw_only=True)
class T5Config:
    """Sizes of the encoder; the defaults are t5-small's."""

    features: int = 512
    """Size of a hidden state."""
    layers: int = 6
    """How many layers."""
    heads: int = 8
    """Attention heads."""
    head_features: int = 64
    """Features per head."""
    hidden: int = 2048
    """Width of the feed-forward networks."""
    vocabulary: int = 32128
    """Token numbers."""
    buckets: int = 32
    """Buckets of distances, half of them for each direction."""
    max_distance: int = 128
    """Tokens from which on all distances are in the last bucket of their direction."""
    gated: bool = False
    """Whether the feed-forward networks are gated by a GELU, as in T5 v1.1."""
    epsilon: float = 1e-6
    """Added to every mean square."""

    def __post_init__(self):
        """Refuses buckets that do not come in two directions of two halves."""
        if self.buckets % 4 or self.max_distance <= self.buckets // 4:
            raise ValueError(
                f"{self.buckets} buckets up to a distance of {self.max_distance}: take a multiple "
                "of 4, and a distance beyond a quarter of it"
            )


class T5(nnx.Module):
    """Tokens to the last hidden states."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs):
        """All weights, drawn from `rngs`, until published ones take their place."""
        self.config = config
        self.embed = nnx.Embed(config.vocabulary, config.features, rngs=rngs)
        self.distances = nnx.Embed(config.buckets, config.heads, rngs=rngs)
        self.layers = stack(lambda rngs: Layer(config, rngs=rngs), config.layers, rngs)
        self.norm = RmsNorm(config.features, config.epsilon)

    def __call__(self, ids: Int[Array, "b s"], mask: Bool[Array, "b s"]) -> Float[Array, "b s d"]:
        """Hidden states; `mask` says which tokens are seen."""
        with jax.default_matmul_precision("highest"):
            bias = self.bias(mask)
            return self.norm(run(self.layers, self.embed(ids), lambda layer, x: layer(x, bias)))

    def bias(self, mask: Bool[Array, "b s"]) -> Float[Array, "b h s s"]:
        """What is added to the logit of each query and key: by their distance, by the mask."""
        table = self.distances(jnp.asarray(distance_buckets(mask.shape[1], self.config)))
        by_distance = table.transpose(2, 0, 1)[None]
        # The least finite number: a row without any token must not become NaN.
        return jnp.where(mask[:, None, None], by_distance, jnp.finfo(jnp.float32).min)


class Layer(nnx.Module):
    """Self-attention and a feed-forward network, each reading what is normed and adding to it."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs):
        """One of `config.layers`."""
        features, hidden, inner = (
            config.features,
            config.hidden,
            config.heads * config.head_features,
        )
        self.heads = config.heads
        self.norm1 = RmsNorm(features, config.epsilon)
        self.qkv = nnx.Linear(features, 3 * inner, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(inner, features, use_bias=False, rngs=rngs)
        self.norm2 = RmsNorm(features, config.epsilon)
        self.up = nnx.Linear(features, hidden, use_bias=False, rngs=rngs)
        self.gate = (
            nnx.Linear(features, hidden, use_bias=False, rngs=rngs) if config.gated else None
        )
        self.down = nnx.Linear(hidden, features, use_bias=False, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b s d"], bias: Float[Array, "b h s s"]
    ) -> Float[Array, "b s d"]:
        """The tokens after the layer; `bias` is added to the attention's logits."""
        x = x + self._attend(self.norm1(x), bias)
        return x + self._feed(self.norm2(x))

    def _attend(
        self, x: Float[Array, "b s d"], bias: Float[Array, "b h s s"]
    ) -> Float[Array, "b s d"]:
        qkv = self.qkv(x).reshape(*x.shape[:2], 3, self.heads, -1)
        query, key, value = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        weights = jax.nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", query, key) + bias, -1)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, value)
        return self.out(mixed.reshape(*x.shape[:2], -1))

    def _feed(self, x: Float[Array, "b s d"]) -> Float[Array, "b s d"]:
        if self.gate is None:
            return self.down(jax.nn.relu(self.up(x)))
        return self.down(jax.nn.gelu(self.gate(x), approximate=True) * self.up(x))


class RmsNorm(nnx.Module):
    """Each token scaled to unit root mean square, then by a weight for each feature."""

    def __init__(self, features: int, epsilon: float):
        """Starts without the weights' scale."""
        self.epsilon = epsilon
        self.scale = nnx.Param(jnp.ones(features))

    def __call__(self, x: Float[Array, "b s d"]) -> Float[Array, "b s d"]:
        """The normed tokens."""
        gain = jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + self.epsilon)
        return x * gain * self.scale[...][None, None]


def distance_buckets(length: int, config: T5Config) -> Int[np.ndarray, "s s"]:
    """The bucket of every pair (query, key): exact when near, logarithmic when far.

    Keys that follow the query have the upper half of the buckets.
    """
    half = config.buckets // 2
    exact = half // 2
    distance = np.arange(length)[None] - np.arange(length)[:, None]
    away = np.abs(distance)
    # In float32, as published: a logarithm decides between two buckets.
    steps = np.log(np.maximum(away, 1).astype(np.float32) / np.float32(exact))
    steps = steps / np.float32(np.log(config.max_distance / exact)) * np.float32(half - exact)
    far = np.minimum(exact + steps.astype(np.int32), half - 1)
    return (half * (distance > 0) + np.where(away < exact, away, far)).astype(np.int32)
