"""Sound as a picture in one colour: a log-mel spectrogram whose loudness is opacity.

The colour is the stem's and the ground is the page's, so one file serves dark and light pages.
"""

import io

import numpy as np
from jaxtyping import Float
from PIL import Image

BANDS, WIDEST = 96, 1200
"""Mel bands, and the most frames: what a screen shows of a song's width."""
RANGE, CONTRAST = 75.0, 1.5
"""Decibels from opaque down to clear, and how much the loud stands out from the quiet."""
_FFT, _HOP, _LOWEST = 2048, 256, 30.0


def mel_power(audio: Float[np.ndarray, " t"], rate: int) -> Float[np.ndarray, "bands frames"]:
    """Power per mel band and frame, low bands first."""
    import librosa  # slow to import, and only this needs it

    return librosa.feature.melspectrogram(
        y=np.asarray(audio, np.float32),
        sr=rate,
        n_fft=_FFT,
        hop_length=max(_HOP, -(-len(audio) // WIDEST)),
        n_mels=BANDS,
        fmin=_LOWEST,
    )


def png(
    power: Float[np.ndarray, "bands frames"], loudest: float, colour: tuple[int, int, int]
) -> bytes:
    """The spectrogram as a PNG, low bands at the bottom; `loudest` is the power that is opaque."""
    level = 10 * np.log10(np.maximum(power, 1e-30) / max(loudest, 1e-10))
    opacity = np.clip(1 + level / RANGE, 0, 1) ** CONTRAST
    index = np.round(255 * opacity).astype(np.uint8)[::-1]
    image = Image.frombytes("P", index.shape[::-1], index.tobytes())
    image.putpalette(list(colour) * 256)
    file = io.BytesIO()
    # One colour, 256 opacities: a quarter of the bytes of a picture with four channels.
    image.save(file, "PNG", transparency=bytes(range(256)), optimize=True)
    return file.getvalue()
