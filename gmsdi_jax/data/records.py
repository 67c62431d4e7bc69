"""One record of a data set: a chunk of one track, laid out so that reading it copies nothing.

A track is cut into chunks of equal length (about 6 s by default); one chunk is one record, because
an ArrayRecord file cannot read a part of a record. A record is

    magic and length of the header (8 bytes) | header as JSON, padded | mixture | levels | stems

with 16 bit little-endian samples and 32 bit levels. Decoding returns views of the bytes: no stem
is touched until somebody asks for it. Training records hold the mixture and the levels of the
classes but *no stems*; validation and test records may hold the stems too.
"""

import json
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int16

from gmsdi_jax.data.manifest import Settings
from gmsdi_jax.data.presence import frame_levels
from gmsdi_jax.errors import InputError

MAGIC = b"GMR1"
PEAK = 0.999
"""Largest magnitude of a stored sample (full scale = 1); louder tracks are scaled as a whole."""
FULL_SCALE = 32768.0
"""Of 16 bit samples."""
_PREFIX = struct.Struct("<4sI")
_ALIGNMENT = 8


class ChunkRecord(NamedTuple):
    """One chunk of a track; ``valid`` counts the samples before the zero padding of the last chunk.

    ``levels`` holds the mean square of each class stem per frame (full scale = 1).
    """

    mixture: Int16[np.ndarray, " t"]
    levels: Float[np.ndarray, "k frames"]
    stems: Int16[np.ndarray, "k t"] | None
    track: str
    index: int
    valid: int


def to_int16(audio: Float[np.ndarray, "*t"]) -> Int16[np.ndarray, "*t"]:
    """Audio (full scale = 1) rounded to 16 bits."""
    return np.clip(np.rint(audio * np.float32(FULL_SCALE)), -32768, 32767).astype("<i2")


def to_float(samples: Int16[np.ndarray, "*t"]) -> Float[np.ndarray, "*t"]:
    """16 bit samples as float32, full scale = 1."""
    return samples.astype(np.float32) * np.float32(1 / FULL_SCALE)


def safe_gain(stems: Float[np.ndarray, "k t"]) -> float:
    """The common gain that keeps the mixture and every stem of a track below full scale."""
    if stems.shape[1] == 0:
        return 1.0
    peak = max(float(np.abs(stems.sum(axis=0)).max()), float(np.abs(stems).max()))
    return PEAK / peak if peak > PEAK else 1.0


def below_full_scale(stems: Float[np.ndarray, "k t"]) -> tuple[Float[np.ndarray, "k t"], float]:
    """The stems of a track, scaled as a whole where they would leave full scale, and the gain."""
    gain = safe_gain(stems)
    return (stems if gain == 1.0 else stems * np.float32(gain)), gain


def cut(
    track: str,
    stems: Float[np.ndarray, "k t"],
    settings: Settings,
    activity: Float[np.ndarray, "k frames"] | None = None,
) -> Iterator[ChunkRecord]:
    """Cuts a track into records of ``settings.chunk`` samples; the mixture is the sum of its stems.

    Args:
        track: The name of the track.
        stems: The class stems of the whole track, `below_full_scale`, or the
            mixture alone where labels belong to tracks.
        settings: How to cut.
        activity: Levels from elsewhere than the stems, one column per hop; what is missing at the
            end counts as silence.

    Returns:
        The records in order, one at a time.

    Raises:
        InputError: The track has another number of stems than ``settings`` has levels.
    """
    rows, length = stems.shape
    if rows != settings.rows:
        raise InputError(f"{track} has {rows} stems, not {settings.rows}")
    chunk, frames = settings.chunk, settings.chunk // settings.hop
    for index, start in enumerate(range(0, length, chunk)):
        valid = min(chunk, length - start)
        part = np.zeros((rows, chunk), np.float32)
        part[:, :valid] = stems[:, start : start + valid]
        levels = frame_levels(part, settings.hop)
        if activity is not None:
            levels = np.zeros_like(levels)
            given = activity[:, index * frames : (index + 1) * frames]
            levels[:, : given.shape[1]] = given
        mixture, kept = to_int16(part.sum(axis=0)), to_int16(part) if settings.stems else None
        yield ChunkRecord(mixture, levels, kept, track, index, valid)


def encode(record: ChunkRecord) -> bytes:
    """The bytes of a record; `decode` gives back an equal one."""
    header = {
        "track": record.track,
        "index": record.index,
        "valid": record.valid,
        "levels": list(record.levels.shape),
        "chunk": len(record.mixture),
        "stems": 0 if record.stems is None else len(record.stems),
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(_PREFIX.size + len(text)) % _ALIGNMENT)
    parts = [
        _PREFIX.pack(MAGIC, len(text)),
        text,
        np.ascontiguousarray(record.mixture, "<i2").tobytes(),
        np.ascontiguousarray(record.levels, "<f4").tobytes(),
    ]
    if record.stems is not None:
        parts.append(np.ascontiguousarray(record.stems, "<i2").tobytes())
    return b"".join(parts)


def decode(data: bytes) -> ChunkRecord:
    """A record from its bytes: read-only views of ``data``, nothing is copied.

    Raises:
        InputError: The bytes are not a record of this format.
    """
    try:
        magic, length = _PREFIX.unpack_from(data)
        if magic != MAGIC:
            raise ValueError(f"starts with {magic!r}")
        header = json.loads(data[_PREFIX.size : _PREFIX.size + length])
        chunk, stems = header["chunk"], header["stems"]
        offset = _PREFIX.size + length
        mixture = np.frombuffer(data, "<i2", chunk, offset)
        offset += mixture.nbytes
        rows, frames = header["levels"]
        levels = np.frombuffer(data, "<f4", rows * frames, offset).reshape(rows, frames)
        offset += levels.nbytes
        parts = np.frombuffer(data, "<i2", stems * chunk, offset).reshape(stems, chunk)
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise InputError(f"not a record of this library: {error}") from error
    return ChunkRecord(
        mixture, levels, parts if stems else None, header["track"], header["index"], header["valid"]
    )
