"""VGGish (Hershey et al. 2017, 1609.09430): 0.96 s of audio become 128 numbers, for the FAD.

The front end is Google's: frames of 25 ms every 10 ms without padding, a periodic Hann window,
magnitudes (not powers), 64 mel bands between 125 and 7500 Hz whose triangles are linear in mel and
leave out the zero frequency, and the logarithm with an offset. 96 frames are one example. It runs
on the host in float64, as Google's does: beside a loud band, float32 leaves rounding noise that the
logarithm magnifies. The network is a VGG of four stages.

Every implementation of the FAD draws lines of its own: whether the last layer keeps its ReLU,
whether examples overlap, whether the audio is scaled to its peak. All of these are options here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from numpy.lib.stride_tricks import sliding_window_view

SAMPLE_RATE = 16000
BANDS, FRAMES = 64, 96
_SIZE, _HOP, _FFT = 400, 160, 512
_LOW, _HIGH = 125.0, 7500.0
_OFFSET = 0.01


@dataclass(frozen=True, kw_only=True)
class VggishConfig:
    """The network's sizes, which are the published ones, and the choices that define a FAD."""

    widths: tuple[tuple[int, ...], ...] = ((64,), (128,), (256, 256), (512, 512))
    """Features of the convolutions of each stage; a stage halves both sides of its picture."""
    hidden: int = 4096
    """Width of the two layers before the last."""
    features: int = 128
    """Size of the embedding."""
    relu_last: bool = False
    """Whether the embedding passes a ReLU: in torchvggish and early TensorFlow releases it does,
    in the frechet-audio-distance package and today's TensorFlow it does not."""
    hop: int = 96
    """Frames from one example to the next: 96 for no overlap, 50 for Google's half second."""
    peak: bool = False
    """Whether audio is scaled by the largest sample, as in Google's FAD, but by no more than 10."""

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return SAMPLE_RATE


class Vggish(nnx.Module):
    """Log-mel examples to embeddings."""

    def __init__(self, config: VggishConfig, *, rngs: nnx.Rngs):
        """All weights, drawn from `rngs`, until published ones take their place."""
        self.config = config
        stages, features = [], 1
        for widths in config.widths:
            convs = []
            for width in widths:
                convs.append(nnx.Conv(features, width, (3, 3), rngs=rngs))
                features = width
            stages.append(nnx.List(convs))
        self.stages = nnx.List(stages)
        flat = features * (FRAMES >> len(stages)) * (BANDS >> len(stages))
        sizes = (flat, config.hidden, config.hidden, config.features)
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairwise(sizes)])

    def __call__(self, examples: Float[Array, "n 96 64"]) -> Float[Array, "n d"]:
        """One embedding per example, at full precision on every device."""
        with jax.default_matmul_precision("highest"):
            picture = examples[..., None]
            for stage in self.stages:
                picture = halved(stage, picture)
            return self.embed(picture)

    def embed(self, picture: Float[Array, "n h w d"]) -> Float[Array, "n e"]:
        """The embedding of what the last stage answers, its features innermost."""
        x = picture.reshape(len(picture), -1)
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        x = self.layers[-1](x)
        return jax.nn.relu(x) if self.config.relu_last else x


def halved(stage: Iterable[nnx.Conv], picture: Float[Array, "n h w d"]) -> Float[Array, "n i j e"]:
    """The picture after the convolutions of a stage, then half as high and half as wide."""
    for conv in stage:
        picture = jax.nn.relu(conv(picture))
    return nnx.max_pool(picture, (2, 2), (2, 2))


def log_mel(waveform: Float[np.ndarray, " t"], peak: bool = False) -> Float[np.ndarray, "m 64"]:
    """Log-mel frames, one every 10 ms; what does not fill a frame at the end is dropped.

    Args:
        waveform: mono at 16 kHz, full scale = 1.
        peak: whether to scale it by its largest sample first.

    Raises:
        ValueError: the waveform is shorter than one example.
    """
    least = _SIZE + (FRAMES - 1) * _HOP
    if waveform.shape[0] < least:
        raise ValueError(
            f"{waveform.shape[0]} samples: VGGish hears at least {least} at {SAMPLE_RATE} Hz"
        )
    wave = waveform.astype(np.float64)
    if peak:
        wave = wave / max(wave.max(), 0.1)
    framed = sliding_window_view(wave, _SIZE)[::_HOP] * _hann()
    return np.log(np.abs(np.fft.rfft(framed, _FFT)) @ _bands() + _OFFSET).astype(np.float32)


def examples(mel: Float[np.ndarray, "m 64"], hop: int = FRAMES) -> Float[np.ndarray, "n 96 64"]:
    """Blocks of 96 frames, one every `hop`; what does not fill a block at the end is dropped."""
    return np.swapaxes(sliding_window_view(mel, FRAMES, axis=0)[::hop], 1, 2)


def _hann() -> Float[np.ndarray, " f"]:
    """The periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_SIZE) / _SIZE)


@lru_cache
def _bands() -> Float[np.ndarray, "f m"]:
    """Weights of the magnitudes in each band: triangles in mel (HTK's), not normalised."""

    def mel(hertz: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log1p(hertz / 700.0)

    bins = mel(np.linspace(0.0, SAMPLE_RATE / 2, _FFT // 2 + 1))[:, None]
    edges = np.linspace(mel(np.array(_LOW)), mel(np.array(_HIGH)), BANDS + 2)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling))
