"""Bytes that claim to be audio."""

import io
import struct

import numpy as np
import soundfile


def wav(
    audio: np.ndarray | None = None,
    *,
    subtype: str = "FLOAT",
    rate: int = 22050,
    **fields: int,
) -> bytes:
    """A wav; fields of its header are changed: channels, rate, block, bits, data (its size)."""
    if audio is None:
        audio = np.full((22050, 1), 0.1, np.float32)
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, rate, format="WAV", subtype=subtype)
    data = bytearray(buffer.getvalue())
    for name, value in fields.items():
        place, form = {
            "channels": (22, "<H"),
            "rate": (24, "<I"),
            "block": (32, "<H"),
            "bits": (34, "<H"),
            "data": (data.index(b"data") + 4, "<I"),
        }[f"{name}".removesuffix("_")]
        struct.pack_into(form, data, place, value)
    return bytes(data)


def wav_with(value: float) -> bytes:
    """A second of float samples, one of which has this value."""
    audio = np.full((22050, 1), 0.1, np.float32)
    audio[11025] = value
    return wav(audio)


def silent_flac(seconds: float, rate: int = 8000) -> bytes:
    """A flac of nothing: hours in a few kB."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, 1, format="FLAC") as file:
        for _ in range(int(seconds * rate / 2**16)):
            file.write(np.zeros(2**16, np.int16))
    return buffer.getvalue()


def flac_total(frames: int) -> bytes:
    """What stands at byte 21 of a mono flac of 16 bits that claims so many samples."""
    return (0xF << 36 | frames).to_bytes(5, "big")
