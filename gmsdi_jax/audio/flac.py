"""Is a flac whole, and its header true? It carries the MD5 of its samples, which decoders skip.

libFLAC checks every frame, but takes the header on trust: with another total in it a song is
shorter, with another sample rate it is slower. The MD5 over all samples shows the first, the header
of the first frame the second (RFC 9639, sections 8.2 and 9.1).
"""

import hashlib
from typing import BinaryIO

import numpy as np
from jaxtyping import Float

# By the code in a frame's header; other codes say the rate elsewhere.
_RATES = (88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)
_BYTES = {8: 1, 16: 2, 24: 3}


class FlacSum:
    """The MD5 that a flac says its samples have, and that of the samples read so far."""

    def __init__(self, bits: int, expected: bytes) -> None:
        self._bits, self._expected, self._sum = bits, expected, hashlib.md5(usedforsecurity=False)

    def add(self, block: Float[np.ndarray, "n c"]) -> None:
        """Takes in the next samples, full scale = 1."""
        samples = np.rint(block * np.float32(2 ** (self._bits - 1))).astype("<i4")
        count = _BYTES[self._bits]
        if count == 3:
            self._sum.update(samples.view(np.uint8).reshape(-1, 4)[:, :3].tobytes())
        else:
            self._sum.update(samples.astype(f"<i{count}").tobytes())

    @property
    def wrong(self) -> bool:
        """Whether all samples together are not those that were written."""
        return self._sum.digest() != self._expected


def read_flac_header(file: BinaryIO) -> tuple[str, FlacSum | None]:
    """What is wrong with the header of a flac, in words, and the sum of its samples if it has one.

    The file stands behind the mark ``fLaC``.
    """
    info, last = b"", False
    while not last and len(block := file.read(4)) == 4:
        last, size = bool(block[0] & 0x80), int.from_bytes(block[1:], "big")
        if block[0] & 0x7F == 0:
            info = file.read(size)
        else:
            file.seek(size, 1)
    frame = file.read(4)
    if len(info) < 34 or len(frame) < 4:
        return "", None  # which the decoder will say
    packed = int.from_bytes(info[10:18], "big")
    rate, bits, code = packed >> 44, (packed >> 36 & 31) + 1, frame[2] & 15
    problem = ""
    if 1 <= code <= len(_RATES) and _RATES[code - 1] != rate:
        problem = f"its header says {rate} Hz, its frames {_RATES[code - 1]} Hz"
    has_sum = any(info[18:34]) and bits in _BYTES
    return problem, FlacSum(bits, info[18:34]) if has_sum else None
