"""The paper's network: a U-Net on raw waveforms, told the noise level and the text.

Channels last. The waveform is folded into patches, lowered in rate level by level with growing
width, and brought back with skip connections. Every residual block is modulated by the noise level
(FiLM) and attends to the text tokens; the deeper levels attend to themselves over time. The
structure follows audio-diffusion-pytorch 0.0.43's ``UNet1d``, the network of MSDM: bottleneck
attention has no residual, the input skip is unscaled, upsampling is a transposed convolution.
Published weights give the published answers (`tests/parity/test_unet.py`).
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from gmsdi_jax.models.linear import TransposedConv, conv
from gmsdi_jax.models.unet1d_blocks import FourierTime, ResnetBlock, attention, transformer
from gmsdi_jax.models.unet1d_config import UNet1dConfig
from gmsdi_jax.types import Text

__all__ = ["UNet1d", "UNet1dConfig"]


class Down(nnx.Module):
    """A level on the way down: strided convolution, blocks, attention; every output is a skip."""

    def __init__(self, level: int, time: int, config: UNet1dConfig, *, rngs: nnx.Rngs):
        """`level` counts from the finest."""
        fine, out = config.widths[level : level + 2]
        factor, blocks = config.factors[level], range(config.blocks[level])
        taps = 2 * factor + 1
        self.shrink = conv(fine, out, taps, stride=factor, dtype=config.dtype, rngs=rngs)
        self.blocks = nnx.List([ResnetBlock(out, out, time, config, rngs=rngs) for _ in blocks])
        self.transformer = transformer(out, config.attentions[level], config, rngs=rngs)

    def __call__(self, x: Array, time: Array, text: Text) -> tuple[Array, list[Array]]:
        """The level's output and its skips."""
        x, skips = self.shrink(x), []
        for block in self.blocks:
            x = block(x, time, text)
            skips.append(x)
        if self.transformer is not None:
            x = self.transformer(x, text)
            skips.append(x)
        return x, skips


class Up(nnx.Module):
    """A level on the way up: blocks that read the skips, attention, transposed convolution."""

    def __init__(self, level: int, time: int, config: UNet1dConfig, *, rngs: nnx.Rngs):
        """One block per skip of the same level of `Down`."""
        out, deep = config.widths[level : level + 2]
        count, attentions = config.blocks[level], config.attentions[level]
        skips = range(count + (attentions > 0))
        blocks = [ResnetBlock(2 * deep, deep, time, config, rngs=rngs) for _ in skips]
        self.blocks = nnx.List(blocks)
        self.transformer = transformer(deep, attentions, config, rngs=rngs)
        factor, dtype = config.factors[level], config.dtype
        if factor == 1:
            self.grow = conv(deep, out, 3, dtype=dtype, rngs=rngs)
        else:
            self.grow = TransposedConv(deep, out, factor, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array, skips: list[Array], time: Array, text: Text) -> Array:
        """The level's output at the finer rate; takes its skips from the end of the list."""
        for block in self.blocks:
            x = block(jnp.concatenate([x, skips.pop() * 2**-0.5], -1), time, text)
        return self.grow(x if self.transformer is None else self.transformer(x, text))


class Bottleneck(nnx.Module):
    """Block, attention, block; in 0.0.43's form the attention has no residual."""

    def __init__(self, time: int, config: UNet1dConfig, *, rngs: nnx.Rngs):
        """At the lowest rate and its width."""
        features, count = config.widths[-1], config.bottleneck_attentions
        old = config.text_in == "blocks"
        self.before = ResnetBlock(features, features, time, config, rngs=rngs)
        self.attention = attention(features, config, rngs=rngs) if old and count else None
        self.transformer = None if old else transformer(features, count, config, rngs=rngs)
        self.after = ResnetBlock(features, features, time, config, rngs=rngs)

    def __call__(self, x: Array, time: Array, text: Text) -> Array:
        """As many positions as came in."""
        x = self.before(x, time, text)
        if self.attention is not None:
            x = self.attention(x)
        if self.transformer is not None:
            x = self.transformer(x, text)
        return self.after(x, time, text)


class UNet1d(nnx.Module):
    """The network ``F(c_in x, c_noise, text)``; t is a multiple of `config.multiple`."""

    def __init__(self, config: UNet1dConfig, *, rngs: nnx.Rngs):
        """All weights, drawn from `rngs`."""
        self.config = config
        time, levels = 4 * config.channels, range(len(config.factors))
        self.time = FourierTime(config.channels, time, rngs=rngs)
        patches = config.patches
        self.enter = nnx.List([_patch(a, b, a, time, config, rngs=rngs) for a, b in patches])
        self.downs = nnx.List([Down(level, time, config, rngs=rngs) for level in levels])
        self.bottleneck = Bottleneck(time, config, rngs=rngs)
        self.ups = nnx.List([Up(level, time, config, rngs=rngs) for level in reversed(levels)])
        mirrored = reversed(patches)
        self.leave = nnx.List([_patch(b, a, a, time, config, rngs=rngs) for a, b in mirrored])

    def __call__(
        self, x: Float[Array, "b t c"], c_noise: Float[Array, " b"], text: Text
    ) -> Float[Array, "b t c"]:
        """EDM's ``F``, float32.

        Raises:
            ValueError: the number of samples is not a multiple of `config.multiple`.
            TypeError: the audio is not float32.
        """
        if x.shape[1] % self.config.multiple:
            raise ValueError(
                f"{x.shape[1]} samples: this U-Net needs a multiple of {self.config.multiple}"
            )
        if x.dtype != jnp.float32:
            raise TypeError(f"audio of type {x.dtype}: this U-Net needs float32")
        time, h, skips = self.time(c_noise), x.astype(self.config.dtype), []
        for block in self.enter:
            h = fold(block(h, time, text), self.config.patch)
        first = h
        for down in self.downs:
            h, more = down(h, time, text)
            skips += more
        h = self.bottleneck(h, time, text)
        for up in self.ups:
            h = up(h, skips, time, text)
        h = h + first
        for block in self.leave:
            h = block(unfold(h, self.config.patch), time, text)
        return h.astype(jnp.float32)


def fold(x: Float[Array, "b n d"], size: int) -> Float[Array, "b m e"]:
    """Each `size` neighbours in time become features, ordered [feature, position]."""
    b, n, d = x.shape
    patches = x.reshape(b, n // size, size, d)
    return jnp.swapaxes(patches, 2, 3).reshape(b, n // size, d * size)


def unfold(x: Float[Array, "b m e"], size: int) -> Float[Array, "b n d"]:
    """The inverse of `fold`."""
    b, m, e = x.shape
    patches = x.reshape(b, m, e // size, size)
    return jnp.swapaxes(patches, 2, 3).reshape(b, m * size, e // size)


def _patch(
    features: int, out: int, outer: int, time: int, config: UNet1dConfig, *, rngs: nnx.Rngs
) -> ResnetBlock:
    """A residual block above the patched rate, of whose two sides `outer` is the audio's."""
    groups = min(config.patch, outer) if config.text_in == "blocks" else 1
    return ResnetBlock(features, out, time, config, groups=groups, text=False, rngs=rngs)
