"""Sizes of the U-Net, and the published ones."""

from dataclasses import dataclass
from math import prod
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class UNet1dConfig:
    """Sizes of the U-Net; the defaults are MSDM's, with one audio channel and text."""

    audio_channels: int = 1
    """Channels of the waveform; MSDM's joint model has one per stem."""
    text_features: int | None = 512
    """Size of a text token (512: t5-small, CLAP); None for a network that hears no text."""
    text_in: Literal["blocks", "transformer"] = "blocks"
    """Where text enters. ``blocks``: in every residual block, the network of audio-diffusion-
    pytorch 0.0.43, of MSDM and of the paper. ``transformer``: in the transformers of the levels
    that attend, the network of 0.0.97, whose transformers are others too."""
    channels: int = 256
    """Features after patching."""
    patch: int = 16
    """Samples, or positions, folded into one by a patch block."""
    patch_blocks: int = 1
    """Patch blocks in a row."""
    multipliers: tuple[int, ...] = (1, 2, 4, 4, 4, 4, 4)
    """Width of each level, in units of `channels`; the first is the patched input's."""
    factors: tuple[int, ...] = (4, 4, 4, 2, 2, 2)
    """Downsampling into each level."""
    blocks: tuple[int, ...] = (2, 2, 2, 2, 2, 2)
    """Residual blocks per level."""
    attentions: tuple[int, ...] = (0, 0, 0, 1, 1, 1)
    """Transformer blocks per level: how often it attends to itself."""
    bottleneck_attentions: int = 1
    """The same for the bottleneck."""
    heads: int = 8
    """Attention heads."""
    head_features: int = 128
    """Features per head."""
    groups: int = 8
    """Groups of the group norms below the full rate."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the arithmetic inside; weights, audio, noise levels and moments are float32."""
    remat: bool = False
    """Whether training computes the inside of each block again rather than keep it."""

    def __post_init__(self):
        """Refuses levels that do not match, and what no published network has."""
        levels = len(self.factors)
        if not len(self.multipliers) - 1 == len(self.blocks) == len(self.attentions) == levels:
            raise ValueError(
                f"factors has {levels} levels, so blocks and attentions need {levels} entries and "
                f"multipliers {levels + 1}"
            )
        most = max(*self.attentions, self.bottleneck_attentions)
        if self.text_in == "blocks" and most > 1:
            raise ValueError(f'{most} transformer blocks at a level: only text_in="transformer" '
                             "has more than one")  # fmt: skip
        for name, known in (
            ("text_in", ("blocks", "transformer")),
            ("dtype", ("float32", "bfloat16")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}: it is one of {known}")

    @property
    def multiple(self) -> int:
        """The number of samples of which every window must be a multiple."""
        return self.patch**self.patch_blocks * prod(self.factors)

    @property
    def widths(self) -> tuple[int, ...]:
        """Features after patching, then of each level."""
        return tuple(self.channels * multiplier for multiplier in self.multipliers)

    @property
    def patches(self) -> list[tuple[int, int]]:
        """Features of each patch block on the side of the audio and on the other, finest first."""
        outer = [self.audio_channels * self.patch**i for i in range(self.patch_blocks)]
        inner = [features // self.patch for features in (*outer[1:], self.widths[0])]
        return list(zip(outer, inner, strict=True))

    @classmethod
    def tiny(cls, text_features: int | None = 64) -> "UNet1dConfig":
        """A preset of 1.5 million parameters that runs on two CPU cores, for tests and examples."""
        return cls(
            text_features=text_features,
            channels=32,
            patch=16,
            multipliers=(1, 2, 4),
            factors=(4, 4),
            blocks=(1, 1),
            attentions=(0, 1),
            heads=2,
            head_features=32,
        )

    @classmethod
    def paper(cls, text_features: int = 512) -> "UNet1dConfig":
        """MSDM's shape with cross-attention on text tokens: about half a billion parameters."""
        return cls(text_features=text_features)

    @classmethod
    def msdm(cls, audio_channels: int = 4) -> "UNet1dConfig":
        """MSDM's networks: jointly of 4 stems, or weakly supervised with 1."""
        return cls(audio_channels=audio_channels, text_features=None)
