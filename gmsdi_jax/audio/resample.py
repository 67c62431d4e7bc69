"""Sample rate conversion, in one go or as a stream, with the same result to the last bit.

Models hear 22050 Hz; songs come at 44100 or 48000 Hz and stems go back at the song's own rate. soxr
(high quality, linear phase) adds no delay, so a stem stays aligned with its song. There is one
implementation, the stream; the one-shot function is the stream fed once.

Lengths are rounded, so a song that goes to another rate and back may gain or lose a sample: 44101
samples at 44100 Hz are 22051 at 22050 Hz and 44102 back again. Whoever must return to an exact
length says so with `length`.
"""

import math

import numpy as np
import soxr
from jaxtyping import Float, Float32


class StreamResampler:
    """A sample rate converter fed with blocks: its outputs, joined, are the converted signal.

    Memory is one block, whatever the length. Equal rates pass samples through unchanged.
    """

    def __init__(
        self, rate_in: int, rate_out: int, channels: int, length: int | None = None
    ) -> None:
        """Make a converter.

        Args:
            rate_in: sample rate of the blocks pushed, Hz.
            rate_out: sample rate of the blocks returned, Hz.
            channels: number of channels of both.
            length: total samples to return: the end is cut or padded with silence to it. Without
                it the total is the input's, times `rate_out / rate_in`, rounded.
        """
        self._channels = channels
        self._length = length
        self._returned = 0
        self._last = False
        self._extra = math.ceil(rate_in / rate_out) + 1
        self._soxr = (
            None
            if rate_in == rate_out
            else soxr.ResampleStream(rate_in, rate_out, channels, dtype="float32", quality="HQ")
        )

    def push(
        self, block: Float[np.ndarray, "n c"], last: bool = False
    ) -> Float32[np.ndarray, "m c"]:
        """The converted samples that this block completes, perhaps none; with `last`, all the rest.

        Raises:
            ValueError: the block has the wrong shape, or the last block was pushed before.
        """
        if block.ndim != 2 or block.shape[1] != self._channels:
            raise ValueError(f"expected a block [n {self._channels}], got shape {block.shape}")
        if self._last:
            raise ValueError("the last block was pushed already")
        self._last = last
        out = self._convert(np.ascontiguousarray(block, dtype=np.float32), last)
        if self._length is not None:
            out = out[: self._length - self._returned]
            if last:
                missing = self._length - self._returned - len(out)
                out = np.concatenate([out, np.zeros((missing, self._channels), np.float32)])
        self._returned += len(out)
        return out

    def _convert(self, block: Float32[np.ndarray, "n c"], last: bool) -> Float32[np.ndarray, "m c"]:
        if self._soxr is None:
            return block
        if last and self._length is not None:
            # soxr takes what follows the end as silence, so feeding some changes no sample; it only
            # lets soxr return the sample that its own rounding of the total would drop.
            silence = np.zeros((self._extra, self._channels), np.float32)
            block = np.concatenate([block, silence])
        return np.asarray(self._soxr.resample_chunk(block, last=last), dtype=np.float32)


def resample(
    audio: Float[np.ndarray, "t c"], rate_in: int, rate_out: int, length: int | None = None
) -> Float32[np.ndarray, "s c"]:
    """The same sound at another sample rate, aligned with the original.

    Args:
        audio: full scale = 1.
        rate_in: its sample rate, Hz.
        rate_out: the wanted sample rate, Hz.
        length: samples to return, by cutting the end or padding it with silence.
    """
    return StreamResampler(rate_in, rate_out, audio.shape[1], length).push(audio, last=True)
