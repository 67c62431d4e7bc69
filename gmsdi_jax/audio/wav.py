"""Is a wav or an aiff whole? Its header says how many bytes of samples follow; fewer may be there.

A download or a copy that broke off leaves such a file, and libsndfile reads it as a shorter song
without a word. Both kinds are lists of chunks, each a name of four letters, a size in four bytes
and a body. In a wav, `fmt ` holds the bytes per frame and `data` the samples; RF64, the wav beyond
4 GiB, keeps the true size in a chunk `ds64` (EBU Tech 3306). In an aiff, where all numbers have the
other byte order, these are `COMM` and `SSND`.

There is no checksum, but a wav says some things twice: the bytes of a frame and of a second follow
from the channels, the bits and the sample rate, and where the samples end another chunk begins or
the file ends. A header in which one of them is wrong is damaged.
"""

import os
import struct
from typing import BinaryIO, NamedTuple

# Sizes from here up mean that it was written to a pipe: the length is unknown.
_SIZE_UNKNOWN = 0x7FFFF000
_PLAIN = (1, 3, 0xFFFE)  # integers, floats, and those of either that say so further on


class WavHeader(NamedTuple):
    """What a header says of the file it stands in."""

    missing: int = 0
    """Frames that it promises beyond the end of the file."""
    problem: str = ""
    """How it contradicts itself, in words; nothing where it does not."""


def read_wav_header(file: BinaryIO) -> WavHeader:
    """The header of a wav (RIFF or RF64) or aiff; of another format, an empty one.

    A file that was written to a pipe does not know its length, and lacks nothing.
    """
    header = file.read(12)
    wav = header[:4] in (b"RIFF", b"RF64") and header[8:] == b"WAVE"
    if not wav and not (header[:4] == b"FORM" and header[8:] in (b"AIFF", b"AIFC")):
        return WavHeader()
    order = "little" if wav else "big"
    frame_bytes, size64, problem = 1, None, ""
    while len(chunk := file.read(8)) == 8:
        size = int.from_bytes(chunk[4:], order)
        if chunk[:4] in (b"data", b"SSND"):
            known = size < _SIZE_UNKNOWN
            size = size if known else size64 or 0
            start = file.tell()
            end = file.seek(0, os.SEEK_END)
            missing = max(0, start + size - end) // frame_bytes
            within = min(end, 8 + int.from_bytes(header[4:8], order))
            if known and not problem and not _chunk_at(file, start + size, within):
                problem = "there is more behind its samples than its header says"
            return WavHeader(missing, problem)
        body_start = file.tell()
        if chunk[:4] == b"ds64":
            size64 = int.from_bytes(file.read(16)[8:], "little")
        elif chunk[:4] == b"fmt ":
            frame_bytes, problem = _format(file.read(16))
        elif chunk[:4] == b"COMM":
            body = file.read(8)
            channels, bits = int.from_bytes(body[:2], "big"), int.from_bytes(body[6:], "big")
            frame_bytes = max(1, channels * -(-bits // 8))
        file.seek(body_start + size + size % 2)
    return WavHeader()


def _format(body: bytes) -> tuple[int, str]:
    """Bytes per frame as `fmt ` says it, and what in it does not fit the rest of it."""
    if len(body) < 16:
        return 1, ""
    tag, channels, rate, per_second, frame_bytes, bits = struct.unpack("<HHIIHH", body)
    problem = ""
    if tag in _PLAIN:
        if frame_bytes != channels * -(-bits // 8):
            problem = f"{channels} channels of {bits} bits are not {frame_bytes} bytes"
        elif per_second not in (0, rate * frame_bytes):  # some programs leave it at zero
            problem = f"{rate} Hz of {frame_bytes} bytes are not {per_second} bytes a second"
    return max(1, frame_bytes), problem


def _chunk_at(file: BinaryIO, start: int, end: int) -> bool:
    """Whether a chunk begins at a place before ``end``, or nothing does; some forget to pad."""
    for place in (start + start % 2, start):
        file.seek(place)
        name = file.read(min(8, max(0, end - place)))[:4]
        if (name.isascii() and name.decode().isprintable()) or not any(name):
            return True
    return False
