"""Sound as a picture: log-mel spectrograms in grey."""

import numpy as np
from jaxtyping import Float, UInt8

from gmsdi_jax.train.observe.samples import Sample

BANDS, RANGE = 80, 80.0
"""Mel bands, and decibels from white down to black."""
_FFT, _HOP, _WIDEST = 1024, 256, 1024


def mel_power(audio: Float[np.ndarray, " t"], rate: int) -> Float[np.ndarray, "bands frames"]:
    """Power per mel band and frame, low bands first; at most about a thousand frames."""
    import librosa  # slow to import, and only this needs it

    return librosa.feature.melspectrogram(
        y=np.nan_to_num(np.asarray(audio, np.float32)),
        sr=rate,
        n_fft=_FFT,
        hop_length=max(_HOP, len(audio) // _WIDEST),
        n_mels=BANDS,
    )


def picture(
    power: Float[np.ndarray, "bands frames"], white: float
) -> UInt8[np.ndarray, "bands frames"]:
    """Decibels as grey, low bands at the bottom; `white` is the power that is white."""
    level = 10 * np.log10(np.maximum(power, 1e-30) / max(white, 1e-10))
    return np.round(255 * np.clip(1 + level / RANGE, 0, 1)).astype(np.uint8)[::-1]


def compare(sample: Sample, stem: int) -> UInt8[np.ndarray, "h w"]:
    """The mixture, a true stem and the model's, from top to bottom, on one scale."""
    rows = (sample.mixture, sample.stems[stem], sample.estimates[stem])
    powers = [mel_power(row, sample.rate) for row in rows]
    mixture, truth, estimate = (picture(power, float(powers[0].max())) for power in powers)
    gap = np.full((2, mixture.shape[1]), 255, np.uint8)
    return np.concatenate([mixture, gap, truth, gap, estimate])
