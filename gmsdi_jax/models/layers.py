"""Small layers that the networks share."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from gmsdi_jax.types import Text


class NoiseEmbedding(nnx.Module):
    """Features of the noise level: sines and cosines of ``c_noise``, then a two-layer network."""

    def __init__(self, features: int, frequencies: int = 16, *, rngs: nnx.Rngs):
        """`frequencies` are spaced evenly in logarithm from 1 to 20 radians per unit."""
        self.angles = tuple(float(f) for f in np.geomspace(1.0, 20.0, frequencies))
        self.first = nnx.Linear(2 * frequencies, features, rngs=rngs)
        self.second = nnx.Linear(features, features, rngs=rngs)

    def __call__(self, c_noise: Float[Array, " b"]) -> Float[Array, "b d"]:
        """One row of features per noise level."""
        angles = c_noise[:, None] * jnp.asarray(self.angles, c_noise.dtype)[None]
        h = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)
        return jax.nn.silu(self.second(jax.nn.silu(self.first(h))))


def identity(scale: float) -> nnx.Initializer:
    """An initializer: `scale` on the diagonal of a matrix that need not be square, else 0."""

    def init(key: Key[Array, ""], shape: Sequence[int], dtype: DTypeLike = jnp.float32, **_):
        del key
        return scale * jnp.eye(*shape, dtype=dtype)

    return init


def rms_norm(x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """`x` scaled to unit root mean square over its last axis."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6)


class Film(nnx.Module):
    """Feature-wise modulation ``x (1 + scale) + shift`` from a conditioning vector."""

    def __init__(self, condition: int, features: int, *, rngs: nnx.Rngs):
        """A linear map from `condition` to scale and shift; it starts small."""
        small = nnx.initializers.variance_scaling(0.01, "fan_in", "normal")
        self.linear = nnx.Linear(condition, 2 * features, kernel_init=small, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b t d"], condition: Float[Array, "b e"]
    ) -> Float[Array, "b t d"]:
        """The modulated `x`."""
        scale, shift = jnp.split(self.linear(condition)[:, None], 2, -1)
        return x * (1 + scale) + shift


class ShiftConv(nnx.Module):
    """A dilated convolution of 3 taps over time, as one matrix product of three shifted copies.

    On CPU the backward pass of this form is far faster than that of a convolution.
    """

    def __init__(
        self,
        features: int,
        out: int,
        dilation: int,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        """`dilation` is in frames; the signal is padded with zeros at both ends."""
        self.dilation = dilation
        self.linear = nnx.Linear(3 * features, out, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "b t d"]) -> Float[Array, "b t e"]:
        """As many frames as came in."""
        frames, d = x.shape[1], self.dilation
        padded = jnp.pad(x, ((0, 0), (d, d), (0, 0)))
        taps = [padded[:, i * d : i * d + frames] for i in range(3)]
        return self.linear(jnp.concatenate(taps, -1))


def pool(text: Text) -> Float[Array, "b d"]:
    """The mean embedding of the tokens that count: no order, no length."""
    weight = text.mask[..., None].astype(text.embedding.dtype)
    return (text.embedding * weight).sum(-2) / jnp.maximum(weight.sum(-2), 1)
