"""The paper's network: a U-Net on raw waveforms, told the noise level and the text.

Channels last. The waveform is folded into patches, lowered in rate level by level with growing
width, and brought back with skip connections. Every residual block is modulated by the noise level
(FiLM) and attends to the text tokens; the deeper levels attend to themselves over time. The
structure follows audio-diffusion-pytorch 0.0.43's ``UNet1d``, the network of MSDM: bottleneck
attention has no residual, the input skip is unscaled, upsampling is a transposed convolution.
"""

from dataclasses import dataclass
from math import prod

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from gmsdi_jax.models.attention import EPSILON, Attention, layer_norm
from gmsdi_jax.types import Text


@dataclass(frozen=True, kw_only=True)
class UNet1dConfig:
    """Sizes of the U-Net; the defaults are MSDM's, with one audio channel and text."""

    audio_channels: int = 1
    """Channels of the waveform."""
    text_features: int = 512
    """Size of a text token (512: t5-small)."""
    channels: int = 256
    """Features after patching."""
    patch: int = 16
    """Samples folded into one position."""
    multipliers: tuple[int, ...] = (1, 2, 4, 4, 4, 4, 4)
    """Width of each level, in units of `channels`; the first is the patched input's."""
    factors: tuple[int, ...] = (4, 4, 4, 2, 2, 2)
    """Downsampling into each level."""
    blocks: tuple[int, ...] = (2, 2, 2, 2, 2, 2)
    """Residual blocks per level."""
    attentions: tuple[bool, ...] = (False, False, False, True, True, True)
    """Whether a level attends to itself."""
    heads: int = 8
    """Attention heads."""
    head_features: int = 128
    """Features per head."""
    groups: int = 8
    """Groups of the group norms below the full rate."""

    def __post_init__(self):
        """Refuses levels that do not match."""
        levels = len(self.factors)
        if not len(self.multipliers) - 1 == len(self.blocks) == len(self.attentions) == levels:
            raise ValueError(
                f"factors has {levels} levels, so blocks and attentions need {levels} entries and "
                f"multipliers {levels + 1}"
            )

    @property
    def multiple(self) -> int:
        """The number of samples of which every window must be a multiple."""
        return self.patch * prod(self.factors)

    @classmethod
    def tiny(cls, text_features: int = 64) -> "UNet1dConfig":
        """A preset of 1.5 million parameters that runs on two CPU cores, for tests and examples."""
        return cls(
            text_features=text_features,
            channels=32,
            patch=16,
            multipliers=(1, 2, 4),
            factors=(4, 4),
            blocks=(1, 1),
            attentions=(False, True),
            heads=2,
            head_features=32,
        )

    @classmethod
    def paper(cls) -> "UNet1dConfig":
        """MSDM's shape with cross-attention on t5-small tokens: about half a billion parameters."""
        return cls()


class FourierTime(nnx.Module):
    """Learned Fourier features of ``c_noise`` and the mapping that every block reads."""

    def __init__(self, channels: int, features: int, *, rngs: nnx.Rngs):
        """`channels` features of sine, cosine and the value itself become `features`."""
        self.weights = nnx.Param(jax.random.normal(rngs.params(), (channels // 2,)))
        self.enter = nnx.Linear(channels + 1, features, rngs=rngs)
        self.first = nnx.Linear(features, features, rngs=rngs)
        self.second = nnx.Linear(features, features, rngs=rngs)

    def __call__(self, c_noise: Float[Array, " b"]) -> Float[Array, "b d"]:
        """One row per noise level."""
        angles = 2 * jnp.pi * c_noise[:, None] * self.weights[...][None]
        h = jnp.concatenate([c_noise[:, None], jnp.sin(angles), jnp.cos(angles)], -1)
        for layer in (self.enter, self.first, self.second):
            h = jax.nn.gelu(layer(h), approximate=False)
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
        patch: bool = False,
        rngs: nnx.Rngs,
    ):
        """`patch` blocks run at the full rate: no text, and a group of features per channel."""
        groups = min(config.patch, config.audio_channels) if patch else config.groups
        self.norm1 = nnx.GroupNorm(features, num_groups=groups, epsilon=EPSILON, rngs=rngs)
        self.conv1 = nnx.Conv(features, out, (3,), rngs=rngs)
        self.film = nnx.Linear(time, 2 * out, rngs=rngs)
        self.norm2 = nnx.GroupNorm(out, num_groups=groups, epsilon=EPSILON, rngs=rngs)
        self.conv2 = nnx.Conv(out, out, (3,), rngs=rngs)
        sizes = (out, config.heads, config.head_features, config.text_features)
        self.text = None if patch else Attention(*sizes, rngs=rngs)
        self.skip = nnx.Linear(features, out, rngs=rngs) if features != out else None

    def __call__(
        self, x: Float[Array, "b n d"], time: Float[Array, "b e"], text: Text
    ) -> Float[Array, "b n o"]:
        """The block's output at the rate of its input."""
        h = self.conv1(jax.nn.silu(self.norm1(x)))
        if self.text is not None:
            h = h + self.text(h, text.embedding, text.mask)
        scale, shift = jnp.split(self.film(jax.nn.silu(time))[:, None], 2, -1)
        h = self.conv2(jax.nn.silu(self.norm2(h) * (scale + 1) + shift))
        return h + (x if self.skip is None else self.skip(x))


class Transformer(nnx.Module):
    """Self-attention and a feed-forward network, each with a residual."""

    def __init__(self, features: int, config: UNet1dConfig, *, rngs: nnx.Rngs):
        """The feed-forward layer is twice as wide."""
        self.attention = Attention(features, config.heads, config.head_features, rngs=rngs)
        self.norm1 = layer_norm(features, rngs=rngs)
        self.up = nnx.Linear(features, 2 * features, use_bias=False, rngs=rngs)
        self.norm2 = layer_norm(2 * features, rngs=rngs)
        self.down = nnx.Linear(2 * features, features, use_bias=False, rngs=rngs)

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """`x` with what time has to say."""
        x = x + self.attention(x)
        h = jax.nn.gelu(self.up(self.norm1(x)), approximate=False)
        return x + self.down(self.norm2(h))


class Down(nnx.Module):
    """A level on the way down: strided convolution, blocks, attention; every output is a skip."""

    def __init__(self, level: int, time: int, config: UNet1dConfig, *, rngs: nnx.Rngs):
        """`level` counts from the finest."""
        features, out = _widths(config, level)
        factor = config.factors[level]
        self.shrink = nnx.Conv(
            features,
            out,
            (2 * factor + 1,),
            strides=(factor,),
            padding=[(factor, factor)],
            rngs=rngs,
        )
        self.blocks = nnx.List(
            [ResnetBlock(out, out, time, config, rngs=rngs) for _ in range(config.blocks[level])]
        )
        self.transformer = Transformer(out, config, rngs=rngs) if config.attentions[level] else None

    def __call__(self, x: Array, time: Array, text: Text) -> tuple[Array, list[Array]]:
        """The level's output and its skips."""
        x, skips = self.shrink(x), []
        for block in self.blocks:
            x = block(x, time, text)
            skips.append(x)
        if self.transformer is not None:
            x = self.transformer(x)
            skips.append(x)
        return x, skips


class Up(nnx.Module):
    """A level on the way up: blocks that read the skips, attention, transposed convolution."""

    def __init__(self, level: int, time: int, config: UNet1dConfig, *, rngs: nnx.Rngs):
        """One block per skip of the same level of `Down`."""
        out, features = _widths(config, level)
        count = config.blocks[level] + config.attentions[level]
        self.blocks = nnx.List(
            [ResnetBlock(2 * features, features, time, config, rngs=rngs) for _ in range(count)]
        )
        self.transformer = (
            Transformer(features, config, rngs=rngs) if config.attentions[level] else None
        )
        factor = config.factors[level]
        self.grow = nnx.ConvTranspose(features, out, (2 * factor,), strides=(factor,), rngs=rngs)

    def __call__(self, x: Array, skips: list[Array], time: Array, text: Text) -> Array:
        """The level's output at the finer rate; takes its skips from the end of the list."""
        for block in self.blocks:
            x = block(jnp.concatenate([x, skips.pop() * 2**-0.5], -1), time, text)
        return self.grow(x if self.transformer is None else self.transformer(x))


class Bottleneck(nnx.Module):
    """Block, attention without residual, block."""

    def __init__(self, features: int, time: int, config: UNet1dConfig, *, rngs: nnx.Rngs):
        """The lowest rate's `features`."""
        self.before = ResnetBlock(features, features, time, config, rngs=rngs)
        self.attention = Attention(features, config.heads, config.head_features, rngs=rngs)
        self.after = ResnetBlock(features, features, time, config, rngs=rngs)

    def __call__(self, x: Array, time: Array, text: Text) -> Array:
        """As many positions as came in."""
        return self.after(self.attention(self.before(x, time, text)), time, text)


class UNet1d(nnx.Module):
    """The network ``F(c_in x, c_noise, text)``; t is a multiple of `config.multiple`."""

    def __init__(self, config: UNet1dConfig, *, rngs: nnx.Rngs):
        """All weights, drawn from `rngs`."""
        self.config = config
        time, levels = 4 * config.channels, range(len(config.factors))
        narrow = config.channels // config.patch
        self.time = FourierTime(config.channels, time, rngs=rngs)
        audio = config.audio_channels
        self.enter = ResnetBlock(audio, narrow, time, config, patch=True, rngs=rngs)
        self.downs = nnx.List([Down(level, time, config, rngs=rngs) for level in levels])
        deepest = config.channels * config.multipliers[-1]
        self.bottleneck = Bottleneck(deepest, time, config, rngs=rngs)
        self.ups = nnx.List([Up(level, time, config, rngs=rngs) for level in reversed(levels)])
        self.leave = ResnetBlock(narrow, audio, time, config, patch=True, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b t c"], c_noise: Float[Array, " b"], text: Text
    ) -> Float[Array, "b t c"]:
        """EDM's ``F``.

        Raises:
            ValueError: the number of samples is not a multiple of `config.multiple`.
        """
        if x.shape[1] % self.config.multiple:
            raise ValueError(
                f"{x.shape[1]} samples: this U-Net needs a multiple of {self.config.multiple}"
            )
        time = self.time(c_noise)
        h = self._fold(self.enter(x, time, text))
        first, skips = h, []
        for down in self.downs:
            h, more = down(h, time, text)
            skips += more
        h = self.bottleneck(h, time, text)
        for up in self.ups:
            h = up(h, skips, time, text)
        return self.leave(self._unfold(h + first), time, text)

    def _fold(self, x: Float[Array, "b t c"]) -> Float[Array, "b n d"]:
        b, t, c = x.shape
        patches = x.reshape(b, t // self.config.patch, self.config.patch, c)
        return jnp.swapaxes(patches, 2, 3).reshape(b, t // self.config.patch, -1)

    def _unfold(self, x: Float[Array, "b n d"]) -> Float[Array, "b t c"]:
        b, n, d = x.shape
        patches = x.reshape(b, n, d // self.config.patch, self.config.patch)
        return jnp.swapaxes(patches, 2, 3).reshape(b, n * self.config.patch, -1)


def _widths(config: UNet1dConfig, level: int) -> tuple[int, int]:
    """Features of the finer and of the coarser side of `level`."""
    return tuple(config.channels * m for m in config.multipliers[level : level + 2])  # type: ignore
