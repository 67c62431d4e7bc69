"""Sizes of CLAP and the rules of its inputs; the defaults are those of GMSDI's checkpoint.

That is LAION's ``music_audioset_epoch_15_esc_90.14.pt``: HTSAT-base on ten seconds at 48 kHz for
audio, roberta-base for text, no feature fusion, a joint space of 512 dimensions.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class MelConfig:
    """From a waveform to the log-mel spectrogram that the audio branch looks at."""

    sample_rate: int = 48000
    """Samples per second."""
    clip: int = 480000
    """Samples of one clip: ten seconds. The audio branch takes no other length."""
    fft: int = 1024
    """Samples of one frame."""
    hop: int = 480
    """Samples from one frame to the next."""
    bands: int = 64
    """Mel bands."""
    low: float = 50.0
    """Hertz where the lowest band begins. transformers' `ClapFeatureExtractor` has 0 unless told
    otherwise, which is not what the weights were trained with."""
    high: float = 14000.0
    """Hertz where the highest band ends."""
    scale: Literal["slaney", "htk"] = "slaney"
    """Slaney's bands of equal area, which checkpoints without fusion were trained with, or HTK's of
    equal height, for those with fusion."""

    def __post_init__(self):
        """Refuses scales that do not exist."""
        if self.scale not in ("slaney", "htk"):
            raise ValueError(f"mel bands on the scale {self.scale!r}: slaney or htk")


@dataclass(frozen=True, kw_only=True)
class HtsatConfig:
    """The audio branch: a Swin transformer on the spectrogram folded into a square (HTSAT)."""

    side: int = 256
    """Height and width of the square."""
    patch: int = 4
    """Height and width of one token of it."""
    features: int = 128
    """Size of a token in the first stage; each further stage has tokens of twice the size."""
    depths: tuple[int, ...] = (2, 2, 12, 2)
    """Blocks per stage, an even number: a stage alternates between windows and shifted windows."""
    heads: tuple[int, ...] = (4, 8, 16, 32)
    """Attention heads per stage."""
    window: int = 8
    """Height and width, in tokens, of the windows in which tokens see each other."""
    mlp: int = 4
    """Width of the feed-forward layers, in tokens' sizes."""

    def __post_init__(self):
        """Refuses sizes that do not divide."""
        if len(self.depths) != len(self.heads):
            raise ValueError(
                f"{len(self.depths)} depths for {len(self.heads)} heads: one per stage"
            )
        if any(depth % 2 for depth in self.depths):
            raise ValueError(f"depths {self.depths}: a stage has pairs of blocks, an even number")
        for stage, heads in enumerate(self.heads):
            tokens = self.side / self.patch / 2**stage
            if tokens % min(self.window, tokens) or tokens != int(tokens):
                raise ValueError(
                    f"stage {stage}: {tokens:g} tokens are no windows of {self.window}"
                )
            if self.features * 2**stage % heads:
                raise ValueError(f"stage {stage}: {heads} heads do not divide its tokens")

    @property
    def final(self) -> int:
        """Size of a token of the last stage, and of the branch's answer."""
        return self.features * 2 ** (len(self.depths) - 1)

    def tokens(self, stage: int) -> int:
        """Tokens along one side of a stage."""
        return self.side // self.patch // 2**stage


@dataclass(frozen=True, kw_only=True)
class RobertaConfig:
    """The text branch: roberta-base."""

    vocabulary: int = 50265
    """Kinds of tokens."""
    positions: int = 514
    """Rows of the table of positions: two more than tokens fit in a text."""
    types: int = 1
    """Rows of the table of token types, of which only the first is used."""
    features: int = 768
    """Size of a token."""
    layers: int = 12
    """Transformer layers."""
    heads: int = 12
    """Attention heads."""
    mlp: int = 3072
    """Width of the feed-forward layers."""
    epsilon: float = 1e-5
    """Added to variances. LAION trained with 1e-5; transformers' `ClapTextConfig`, and with it the
    checkpoint ``laion/larger_clap_music``, has 1e-12."""
    pad: int = 1
    """The token that fills rows up; the first position is ``pad + 1``."""

    def __post_init__(self):
        """Refuses heads that do not divide the features."""
        if self.features % self.heads:
            raise ValueError(f"{self.heads} heads do not divide {self.features} features")


@dataclass(frozen=True, kw_only=True)
class CropsConfig:
    """How audio of any length becomes clips; see `gmsdi_jax.models.clap.crops`."""

    rule: Literal["mean", "keyed"] = "mean"
    """``mean``: clips at even distances that cover all of the audio. ``keyed``: clips at places
    drawn from a key. Either way the embedding is the direction of the clips' mean."""
    count: int = 1
    """Clips that ``keyed`` draws; ``mean`` takes as many as cover the audio."""
    quantise: bool = False
    """Whether samples are rounded to 16 bits first. LAION's code does so with files and arrays, not
    with tensors, of which gradients may be wanted."""

    def __post_init__(self):
        """Refuses rules that do not exist."""
        if self.rule not in ("mean", "keyed") or self.count < 1:
            raise ValueError(
                f"crops by {self.rule!r}, {self.count} of them: mean or keyed, 1 or more"
            )


@dataclass(frozen=True, kw_only=True)
class ClapConfig:
    """CLAP: two branches that answer in one space."""

    mel: MelConfig = field(default_factory=MelConfig)
    audio: HtsatConfig = field(default_factory=HtsatConfig)
    text: RobertaConfig = field(default_factory=RobertaConfig)
    joint: int = 512
    """Dimensions of the joint space."""
    crops: CropsConfig = field(default_factory=CropsConfig)

    def __post_init__(self):
        """Refuses a spectrogram that does not fold into the square."""
        frames, bands, side = 1 + self.mel.clip // self.mel.hop, self.mel.bands, self.audio.side
        if side % bands or bands % self.audio.patch or frames > side**2 // bands:
            raise ValueError(
                f"{frames} frames of {bands} bands do not fold into a square of side {side}, in "
                f"patches of {self.audio.patch}"
            )
