"""What the U-Net is made of: noise level features, residual blocks, transformers.

The names follow the idea, the order of operations follows audio-diffusion-pytorch to the letter:
0.0.43, and where ``text_in="transformer"`` 0.0.97.
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from gmsdi_jax.models.attention import Attention
from gmsdi_jax.models.linear import conv, linear
from gmsdi_jax.models.norms import GroupNorm, LayerNorm
from gmsdi_jax.models.unet1d_config import UNet1dConfig
from gmsdi_jax.types import Text


def gelu(x: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """The exact one, with the error function, as PyTorch's default."""
    return jax.nn.gelu(x, approximate=False)


def forgetful(call: Callable[..., Array]) -> Callable[..., Array]:
    """A method that, where the module's `config.remat` says so, keeps nothing but its arguments.

    The backward pass computes what is inside again: more time for less memory.
    """

    @wraps(call)
    def wrapper(self: Any, *args: Any) -> Array:
        run = partial(call, self)
        return (jax.checkpoint(run) if self.config.remat else run)(*args)

    return wrapper


def attention(
    features: int, config: UNet1dConfig, *, text: bool = False, rngs: nnx.Rngs
) -> Attention:
    """Attention in the layout of `config`: over time, or to the text."""
    return Attention(
        features,
        config.heads,
        config.head_features,
        config.text_features if text else None,
        biased=config.text_in == "transformer",
        dtype=config.dtype,
        rngs=rngs,
    )


class FourierTime(nnx.Module):
    """Learned Fourier features of ``c_noise`` and the mapping that every block reads; float32."""

    def __init__(self, channels: int, features: int, *, rngs: nnx.Rngs):
        """`channels` features of sine, cosine and the value itself become `features`."""
        self.weights = nnx.Param(jax.random.normal(rngs.params(), (channels // 2,)))
        self.enter = linear(channels + 1, features, rngs=rngs)
        self.first = linear(features, features, rngs=rngs)
        self.second = linear(features, features, rngs=rngs)

    def __call__(self, c_noise: Float[Array, " b"]) -> Float[Array, "b d"]:
        """One row per noise level."""
        angles = c_noise[:, None] * self.weights[...][None] * (2 * jnp.pi)
        h = jnp.concatenate([c_noise[:, None], jnp.sin(angles), jnp.cos(angles)], -1)
        for layer in (self.enter, self.first, self.second):
            h = gelu(layer(h))
        return h


class ResnetBlock(nnx.Module):
    """Norm, SiLU, convolution; text; norm, FiLM, SiLU, convolution; a residual around all."""

    def __init__(
        self,
        features: int,
        out: int,
        time: int,
        config: UNet1dConfig,
        *,
        groups: int | None = None,
        text: bool = True,
        rngs: nnx.Rngs,
    ):
        """Blocks at the full rate hear no text and have their own number of groups."""
        self.config = config
        groups = config.groups if groups is None else groups
        text = text and config.text_in == "blocks" and config.text_features is not None
        self.norm1 = GroupNorm(features, groups)
        self.conv1 = conv(features, out, 3, dtype=config.dtype, rngs=rngs)
        self.text = attention(out, config, text=True, rngs=rngs) if text else None
        self.film = linear(time, 2 * out, rngs=rngs)
        self.norm2 = GroupNorm(out, groups)
        self.conv2 = conv(out, out, 3, dtype=config.dtype, rngs=rngs)
        project = partial(linear, dtype=config.dtype, rngs=rngs)
        self.skip = project(features, out) if features != out else None

    @forgetful
    def __call__(
        self, x: Float[Array, "b n d"], time: Float[Array, "b e"], text: Text
    ) -> Float[Array, "b n o"]:
        """The block's output at the rate of its input."""
        h = self.conv1(jax.nn.silu(self.norm1(x)))
        if self.text is not None:
            h = h + self.text(h, text.embedding, text.mask)
        film = self.film(jax.nn.silu(time))[:, None].astype(h.dtype)
        scale, shift = jnp.split(film, 2, -1)
        h = self.conv2(jax.nn.silu(self.norm2(h) * (scale + 1) + shift))
        return h + (x if self.skip is None else self.skip(x))


class Transformer(nnx.Module):
    """Self-attention and a feed-forward network, each with a residual: 0.0.43's."""

    def __init__(self, features: int, config: UNet1dConfig, *, rngs: nnx.Rngs):
        """The feed-forward layer is twice as wide."""
        self.config = config
        pointwise = partial(linear, bias=False, dtype=config.dtype, rngs=rngs)
        self.attention = attention(features, config, rngs=rngs)
        self.norm1 = LayerNorm(features)
        self.up = pointwise(features, 2 * features)
        self.norm2 = LayerNorm(2 * features)
        self.down = pointwise(2 * features, features)

    @forgetful
    def __call__(self, x: Float[Array, "b n d"], text: Text) -> Float[Array, "b n d"]:
        """`x` with what time has to say; does not hear the text."""
        x = x + self.attention(x)
        return x + self.down(self.norm2(gelu(self.up(self.norm1(x)))))


class TextTransformerBlock(nnx.Module):
    """Self-attention, attention to the text, a feed-forward network, each with a residual."""

    def __init__(self, features: int, config: UNet1dConfig, *, rngs: nnx.Rngs):
        """The feed-forward layer is twice as wide; it has biases and no norm."""
        pointwise = partial(linear, dtype=config.dtype, rngs=rngs)
        hears = config.text_features is not None
        self.attention = attention(features, config, rngs=rngs)
        self.text = attention(features, config, text=True, rngs=rngs) if hears else None
        self.up = pointwise(features, 2 * features)
        self.down = pointwise(2 * features, features)

    def __call__(self, x: Float[Array, "b n d"], text: Text) -> Float[Array, "b n d"]:
        """`x` with what time and text have to say."""
        x = x + self.attention(x)
        if self.text is not None:
            x = x + self.text(x, text.embedding, text.mask)
        return x + self.down(gelu(self.up(x)))


class TextTransformer(nnx.Module):
    """Blocks between two pointwise layers, with no residual around them: 0.0.97's."""

    def __init__(self, features: int, count: int, config: UNet1dConfig, *, rngs: nnx.Rngs):
        """`count` blocks."""
        self.config = config
        self.norm = GroupNorm(features, 32, epsilon=1e-6)
        self.enter = linear(features, features, dtype=config.dtype, rngs=rngs)
        blocks = [TextTransformerBlock(features, config, rngs=rngs) for _ in range(count)]
        self.blocks = nnx.List(blocks)
        self.leave = linear(features, features, dtype=config.dtype, rngs=rngs)

    @forgetful
    def __call__(self, x: Float[Array, "b n d"], text: Text) -> Float[Array, "b n d"]:
        """What replaces `x`."""
        x = self.enter(self.norm(x))
        for block in self.blocks:
            x = block(x, text)
        return self.leave(x)


def transformer(
    features: int, count: int, config: UNet1dConfig, *, rngs: nnx.Rngs
) -> Transformer | TextTransformer | None:
    """What attends at a level of `count` transformer blocks."""
    if count == 0:
        return None
    if config.text_in == "blocks":
        return Transformer(features, config, rngs=rngs)
    return TextTransformer(features, count, config, rngs=rngs)
