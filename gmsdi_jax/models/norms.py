"""LayerNorm and GroupNorm for input of any float type, with moments in float32.

They answer in the type of what they are given, so that a network in bfloat16 keeps both its speed
and its norms. Variances are means of squared deviations, not differences of two large numbers.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

EPSILON = 1e-5
"""Added to a variance; PyTorch's default, which published weights were trained with."""


class LayerNorm(nnx.Module):
    """Every position gets mean 0 and variance 1 over its features, then a scale for each."""

    def __init__(self, features: int, *, bias: bool = False, epsilon: float = EPSILON):
        """`bias` adds a number for each feature."""
        self.epsilon = epsilon
        self.scale = nnx.Param(jnp.ones(features))
        self.bias = nnx.Param(jnp.zeros(features)) if bias else None

    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        """The normed `x`."""
        h = x.astype(jnp.float32)
        h = h - h.mean(-1, keepdims=True)
        h = h * jax.lax.rsqrt(jnp.mean(h * h, -1, keepdims=True) + self.epsilon)
        h = h * row(self.scale, x)
        return (h if self.bias is None else h + row(self.bias, x)).astype(x.dtype)


class GroupNorm(nnx.Module):
    """Every group of neighbouring features gets mean 0 and variance 1 over itself and all time."""

    def __init__(self, features: int, groups: int, *, epsilon: float = EPSILON):
        """Then comes a scale and a bias for each feature.

        Raises:
            ValueError: the features do not come out even.
        """
        if features % groups:
            raise ValueError(f"{features} features do not divide into {groups} groups")
        self.groups, self.epsilon = groups, epsilon
        self.scale = nnx.Param(jnp.ones(features))
        self.bias = nnx.Param(jnp.zeros(features))

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """The normed `x`."""
        h = x.astype(jnp.float32)
        h = h - self._mean(h)
        gain = jax.lax.rsqrt(self._mean(h * h) + self.epsilon) * self.scale[...][None, None]
        return (h * gain + self.bias[...][None, None]).astype(x.dtype)

    def _mean(self, h: Float[Array, "b n d"]) -> Float[Array, "b 1 d"]:
        """Each group's mean, at each of its features."""
        # First over time alone: a sum over two axes that are no neighbours in memory is slow.
        by_group = h.mean(1).reshape(len(h), self.groups, -1)
        mean = by_group.mean(-1, keepdims=True)
        return jnp.broadcast_to(mean, by_group.shape).reshape(len(h), 1, -1)


def row(weights: nnx.Param, x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """One float32 weight per feature, with as many axes as `x`."""
    return jnp.expand_dims(weights[...].astype(jnp.float32), range(x.ndim - 1))
