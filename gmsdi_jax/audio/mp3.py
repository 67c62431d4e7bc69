"""Is an mp3 whole? It is a row of frames, each some 26 ms; here they are counted.

Decoders guess the length of an mp3 from the count in its first frame (``Xing``, ``Info``, ``VBRI``)
or, where there is none, from the bit rate of the first frame, and stop there; and they pass over
what they cannot read. So a cut file reads as a shorter one, and one of variable bit rate without a
count may lose its end. The headers of the frames tell: each leads to the next one.

A frame's own bits have no checksum that all encoders write. What is flipped inside a frame sounds
wrong and cannot be told.
"""

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO, NamedTuple

SLACK = 0.2
"""Seconds by which decoded audio may differ from the frames: what encoders pad at both ends."""

_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_V1 = {
    3: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_V2_FIRST = (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_V2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SYNC = re.compile(rb"\xff[\xe2-\xff]")
_ALIKE = 3  # so many frames in a row are no accident
_TAGS = (b"TAG", b"APE")  # what may stand behind the last one
_BLOCK = 2**16


class _Frame(NamedTuple):
    """What the header of a frame says."""

    kind: tuple[int, int, int]
    """Version, layer and sample rate: the same for all frames of a file."""
    size: int
    """Bytes."""
    samples: int


@dataclass
class Mp3:
    """The frames of an mp3."""

    sample_rate: int = 0
    samples: int = 0
    """In all whole frames, without one that only counts the others."""
    counted: int | None = None
    """The same as the file itself says it; None where it does not."""
    problem: str = ""
    """What is wrong, in words; nothing where it is whole."""


def walk_mp3(file: BinaryIO, start: int) -> Mp3:
    """Counts the frames from byte ``start`` on; there are none if it is no mp3."""
    end = file.seek(0, os.SEEK_END)
    position = _next_frame(file, start, None)
    if position is None:
        return Mp3()
    first = _at(file, position)
    assert first is not None
    found = Mp3(first.kind[2], counted=_count(file, position, first))
    if found.counted is not None:
        position += first.size
    while frame := _at(file, position, first.kind):
        if position + frame.size > end:
            found.problem = "its last frame is cut"
            return found
        found.samples += frame.samples
        position += frame.size
    if _next_frame(file, position, first.kind) is not None:
        found.problem = f"bytes after {found.samples / found.sample_rate:.3f} s are no mp3"
    elif found.counted is not None:
        # Encoders differ in whether the frame that counts counts itself.
        difference = found.counted - found.samples
        if difference > first.samples:
            found.problem = "its end is missing"
        elif difference < -first.samples:
            found.problem = "it holds more than it says"
    return found


def id3_size(head: bytes) -> int:
    """Bytes of the tag that begins with these ten; 0 if none does."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if head[5] & 0x10 else 0)


def _at(file: BinaryIO, position: int, kind: tuple[int, int, int] | None = None) -> _Frame | None:
    """The frame at a place, if one is there and of this kind."""
    file.seek(position)
    frame = _frame(file.read(4))
    return frame if frame and kind in (None, frame.kind) else None


def _next_frame(file: BinaryIO, start: int, kind: tuple[int, int, int] | None) -> int | None:
    """The first place from ``start`` on at which several frames of one kind follow each other."""
    while True:
        file.seek(start)
        block = file.read(_BLOCK)
        for match in _SYNC.finditer(block):
            position = start + match.start()
            if _row(file, position, kind):
                return position
        if len(block) < _BLOCK:
            return None
        start += _BLOCK - 1


def _row(file: BinaryIO, position: int, kind: tuple[int, int, int] | None) -> bool:
    """Whether frames follow each other from here on, some or to the end of the file."""
    end = file.seek(0, os.SEEK_END)
    for number in range(_ALIKE):
        frame = _at(file, position, kind)
        if frame is None:
            file.seek(position)
            return number > 0 and (position == end or file.read(3) in _TAGS)
        kind = frame.kind
        position += frame.size
    return True


@lru_cache(maxsize=4096)
def _frame(header: bytes) -> _Frame | None:
    """The header of a frame; None if it is none, or of free format."""
    if len(header) < 4 or header[0] != 0xFF or header[1] < 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bits, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 0 or bits in (0, 15) or rate == 3:
        return None
    table = _V1[layer] if version == 3 else (_V2_FIRST if layer == 3 else _V2)
    bit_rate, sample_rate = 1000 * table[bits - 1], _RATES[version][rate]
    kind = (version, layer, sample_rate)
    if layer == 3:
        return _Frame(kind, (12 * bit_rate // sample_rate + padding) * 4, 384)
    samples = 576 if layer == 1 and version != 3 else 1152
    return _Frame(kind, samples // 8 * bit_rate // sample_rate + padding, samples)


def _count(file: BinaryIO, position: int, first: _Frame) -> int | None:
    """The samples that the first frame says there are, if it is one that counts."""
    file.seek(position)
    body = file.read(first.size)
    for mark in (b"Xing", b"Info"):
        place = body.find(mark, 4, 48)
        if place > 0 and body[place + 7 : place + 8] and body[place + 7] & 1:
            return first.samples * int.from_bytes(body[place + 8 : place + 12], "big") or None
    if body[36:40] == b"VBRI":
        return first.samples * int.from_bytes(body[50:54], "big") or None
    return None
