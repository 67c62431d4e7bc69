"""What CLAP's audio branch looks at: the log-mel spectrogram of a waveform, computed on the device.

Both published front ends are here. LAION's (torchlibrosa in float32, Slaney's bands) and
transformers' `ClapFeatureExtractor` (NumPy in float64, Slaney's bands or HTK's) share every step:
frames of the waveform mirrored at its ends, a periodic Hann window, power, mel bands, and decibels
with a floor at -100 and no limit to their range. Only the bands differ; librosa computes them.

Frames are cut by reshaping, not by gathering. Products run at full float32 precision: decibels
magnify what TPUs and tensor cores would round away.
"""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gmsdi_jax.models.clap.config import MelConfig

FLOOR = 1e-10
"""The least power that counts: -100 dB."""

exact = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


def log_mel(waveform: Float[Array, "*b t"], config: MelConfig) -> Float[Array, "*b n m"]:
    """Decibels by frame and band; there are ``1 + t // hop`` frames, the first around sample 0."""
    edge = config.fft // 2
    ends = [(0, 0)] * (waveform.ndim - 1) + [(edge, edge)]
    mirrored = jnp.pad(waveform.astype(jnp.float32), ends, mode="reflect")
    frames = exact("...f,f->...f", _frames(mirrored, config.fft, config.hop), _hann(config.fft))
    spectrum = jnp.fft.rfft(frames)
    power = spectrum.real**2 + spectrum.imag**2
    bands = exact("...f,mf->...m", power, _bands(config))
    return 10 * jnp.log10(jnp.maximum(bands, FLOOR))


def _frames(x: Float[Array, "*b t"], size: int, hop: int) -> Float[Array, "*b n f"]:
    """All frames that fit, side by side, each made of pieces of blocks of `hop` samples."""
    count = 1 + (x.shape[-1] - size) // hop
    pieces = -(-size // hop)
    missing = (count + pieces - 1) * hop - x.shape[-1]
    ends = [(0, 0)] * (x.ndim - 1) + [(0, max(missing, 0))]
    blocks = jnp.pad(x, ends)[..., : (count + pieces - 1) * hop]
    blocks = blocks.reshape(*x.shape[:-1], -1, hop)
    parts = [blocks[..., i : i + count, : min(hop, size - i * hop)] for i in range(pieces)]
    return jnp.concatenate(parts, -1)


def _hann(size: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


@lru_cache
def _bands(config: MelConfig) -> np.ndarray:
    from librosa.filters import mel  # its first import compiles: only where a waveform is heard

    htk = config.scale == "htk"
    return mel(
        sr=config.sample_rate,
        n_fft=config.fft,
        n_mels=config.bands,
        fmin=config.low,
        fmax=config.high,
        htk=htk,
        norm=None if htk else "slaney",
    )
