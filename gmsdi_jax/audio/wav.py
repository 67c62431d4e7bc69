"""Is a wav or an aiff whole? Its header says how many bytes of samples follow; fewer may be there.

A download or a copy that broke off leaves such a file, and libsndfile reads it as a shorter song
without a word. Both kinds are lists of chunks, each a name of four letters, a size in four bytes
and a body. In a wav, `fmt ` holds the bytes per frame and `data` the samples; RF64, the wav beyond
4 GiB, keeps the true size in a chunk `ds64` (EBU Tech 3306). In an aiff, where all numbers have the
other byte order, these are `COMM` and `SSND`.
"""

import os
from typing import BinaryIO

# Sizes from here up mean that it was written to a pipe: the length is unknown.
_SIZE_UNKNOWN = 0x7FFFF000


def missing_frames(file: BinaryIO) -> int:
    """Frames that the header of a wav (RIFF or RF64) or aiff promises beyond the end of the file.

    Zero for other formats, and for a file that was written to a pipe and does not know its length.
    """
    header = file.read(12)
    wav = header[:4] in (b"RIFF", b"RF64") and header[8:] == b"WAVE"
    if not wav and not (header[:4] == b"FORM" and header[8:] in (b"AIFF", b"AIFC")):
        return 0
    order = "little" if wav else "big"
    frame_bytes, size64 = 1, None
    while len(chunk := file.read(8)) == 8:
        size = int.from_bytes(chunk[4:], order)
        if chunk[:4] in (b"data", b"SSND"):
            if size >= _SIZE_UNKNOWN:
                size = size64 or 0
            start = file.tell()
            end = file.seek(0, os.SEEK_END)
            return max(0, start + size - end) // frame_bytes
        body_start = file.tell()
        if chunk[:4] == b"ds64":
            size64 = int.from_bytes(file.read(16)[8:], "little")
        elif chunk[:4] == b"fmt ":
            frame_bytes = max(1, int.from_bytes(file.read(14)[12:], "little"))
        elif chunk[:4] == b"COMM":
            body = file.read(8)
            channels, bits = int.from_bytes(body[:2], "big"), int.from_bytes(body[6:], "big")
            frame_bytes = max(1, channels * -(-bits // 8))
        file.seek(body_start + size + size % 2)
    return 0
