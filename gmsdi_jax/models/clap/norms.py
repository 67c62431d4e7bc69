"""The two norms of CLAP. Both compute in float32, whatever the type of weights and input."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

EPSILON = 1e-5
"""Added to every variance; PyTorch's default, which the weights were trained with."""


class LayerNorm(nnx.Module):
    """Each token centred and scaled to unit variance, then scaled and shifted by weights."""

    def __init__(self, features: int, epsilon: float = EPSILON):
        """Starts without scale and shift."""
        self.epsilon = epsilon
        self.scale, self.bias = nnx.Param(jnp.ones(features)), nnx.Param(jnp.zeros(features))

    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        """The normed tokens, of the type that came in."""
        h = x.astype(jnp.float32)
        h = h - h.mean(-1, keepdims=True)
        h = h * jax.lax.rsqrt(jnp.mean(h * h, -1, keepdims=True) + self.epsilon)
        return (h * _row(self.scale, x) + _row(self.bias, x)).astype(x.dtype)


class FrozenBatchNorm(nnx.Module):
    """Batch normalisation as it was at the end of training: its statistics are weights."""

    def __init__(self, features: int):
        """Starts as the identity."""
        self.mean, self.variance = nnx.Param(jnp.zeros(features)), nnx.Param(jnp.ones(features))
        self.scale, self.bias = nnx.Param(jnp.ones(features)), nnx.Param(jnp.zeros(features))

    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        """The normed features, float32."""
        gain = _row(self.scale, x) * jax.lax.rsqrt(_row(self.variance, x) + EPSILON)
        return (x.astype(jnp.float32) - _row(self.mean, x)) * gain + _row(self.bias, x)


def _row(weights: nnx.Param, x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """One weight per feature, with as many axes as `x`."""
    return jnp.expand_dims(weights[...].astype(jnp.float32), range(x.ndim - 1))
