"""Is an ogg whole? Decoders pass over what is damaged and say nothing of what is missing.

An ogg is a row of pages. Each has the number of its stream, a number of its own, a checksum, and a
mark where it is its stream's last (RFC 3533); so a page that is wrong, lost or cut off can be told,
and libsndfile, which then reads a shorter song, does not tell.

The checksum runs through the bits in the other direction than the one that Python brings along.
Hence bits are turned round twice: those of every byte before, those of the sum after.
"""

import zlib
from typing import BinaryIO

_HEADER = 27
_LAST = 4
_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_NO_SUM = bytes(4)


def ogg_damage(file: BinaryIO) -> str:
    """What is wrong with an ogg, in words; nothing where it is whole. Reads it from where it is."""
    numbers: dict[bytes, int] = {}  # of the next page, by stream, until its last
    while len(header := file.read(_HEADER)) == _HEADER and header[:4] == b"OggS":
        sizes = file.read(header[26])
        body = file.read(sum(sizes))
        if len(sizes) < header[26] or len(body) < sum(sizes):
            return "its end is missing"
        whole = header[:22] + _NO_SUM + header[26:] + sizes + body
        if _checksum(whole) != int.from_bytes(header[22:26], "little"):
            return "a page does not fit its checksum"
        stream, number = header[14:18], int.from_bytes(header[18:22], "little")
        if numbers.setdefault(stream, number) != number:
            return "a page is missing"
        numbers[stream] = number + 1
        if header[5] & _LAST:
            del numbers[stream]
    # Tags that some programs append stand after the last page of all streams.
    return "its end is missing" if numbers else ""


def _checksum(page: bytes) -> int:
    """The sum of a page: polynomial 0x04c11db7 from zero, highest bits first."""
    turned = zlib.crc32(page.translate(_TURNED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{turned:032b}"[::-1], 2)
