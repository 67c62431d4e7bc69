"""Audio files read as streams, with every failure named.

Reading goes block by block through `Reader`, which refuses what a model must never hear: NaN,
infinity, and files that are cut short or damaged. libsndfile does not report all of these, so files
are looked through before they are decoded (`gmsdi_jax.audio.containers`), and the samples decoded
are counted, and those of a flac summed, against what was announced. What no format can show is a
flipped bit among the samples of a wav or inside a frame of an mp3.

Formats: wav, flac, ogg, mp3 (and what else libsndfile reads), from a path or from an open file,
such as bytes in memory or a member of a tar. Audio is float32, full scale = 1.
"""

from collections.abc import Iterator
from typing import Self

import numpy as np
import soundfile as sf
from jaxtyping import Float32

from gmsdi_jax.audio.decoder import (
    AudioInfo,
    AudioSource,
    check_stream,
    damaged,
    open_audio,
    reason,
    truncated,
)
from gmsdi_jax.audio.mp3 import SLACK
from gmsdi_jax.audio.resample import StreamResampler
from gmsdi_jax.errors import InputError

BLOCK = 65536
"""Frames read or written at a time."""

_LOUDEST = 2.0**33
"""Beyond full scale, no sample is; the largest are 32-bit integers that pose as floats."""


def probe(
    source: AudioSource, *, name: str | None = None, max_seconds: float | None = None
) -> AudioInfo:
    """The header of an audio file; no sample is decoded.

    Args:
        source: a path, or an open binary file that can seek.
        name: what errors call it; by default the path, or the open file's own name.
        max_seconds: the longest that is accepted.

    Raises:
        InputError: the file is missing, unreadable, not audio, empty, too long, a wav cut short,
            or has more channels or another sample rate than any music (`audio.decoder`).
    """
    with Reader(source, name=name, max_seconds=max_seconds) as reader:
        return reader.info


class Reader:
    """An audio file read front to back: `take(n)` gives the next n frames.

    Two readers of one file give equal samples (to float32 precision) whatever the sizes taken, so a
    second one can follow a computation in lockstep. Use it in a `with` statement.
    """

    def __init__(
        self, source: AudioSource, *, name: str | None = None, max_seconds: float | None = None
    ) -> None:
        """Open a file; arguments and errors are those of `probe`.

        Raises:
            InputError: as of `probe`.
        """
        self.info, self._file, self._stream, self._container = open_audio(source, name, max_seconds)
        self.position = 0
        """Frames taken so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def take(self, n: int) -> Float32[np.ndarray, "n c"]:
        """The next n frames; fewer at the end of the file, then none.

        Raises:
            InputError: the file is damaged or cut short, or holds NaN or infinite samples.
        """
        info = self.info
        try:
            block = self._file.read(n, dtype="float32", always_2d=True)
        except sf.SoundFileError as error:
            check_stream(info.name, self._stream)
            raise InputError(
                f"{info.name} is truncated or damaged after {self._seconds(self.position)} s"
                f" ({reason(error)}): copy or download it again"
            ) from error
        check_stream(info.name, self._stream)
        self._check(block, ended=len(block) < n)
        return block

    def _check(self, block: Float32[np.ndarray, "n c"], ended: bool) -> None:
        """Refuses samples that are none, and an end before or other than the announced one."""
        info, flac_sum = self.info, self._container.flac_sum
        sane = (np.abs(block) < _LOUDEST).all(axis=1)  # NaN is not
        if not sane.all():
            first = self.position + int(np.argmin(sane))
            raise InputError(
                f"{info.name} has NaN, infinite or absurdly large samples, the first at"
                f" {self._seconds(first)} s: export it again"
            )
        self.position += len(block)
        if ended and self.position < self._expected:
            raise truncated(info.name, self._seconds(self.position), self._seconds(info.frames))
        if flac_sum and len(block):
            flac_sum.add(block)
            if self.position == info.frames and flac_sum.wrong:
                raise damaged(info.name, "its samples do not fit its checksum")

    @property
    def _expected(self) -> float:
        """The least number of frames that can be decoded."""
        mp3 = self._container.mp3
        if mp3 is None:
            return self.info.frames
        return min(mp3.samples, self.info.frames) - SLACK * self.info.sample_rate

    def _seconds(self, frames: int) -> str:
        return f"{frames / self.info.sample_rate:.3f}"


def read_blocks(source: AudioSource, frames: int = BLOCK) -> Iterator[Float32[np.ndarray, "n c"]]:
    """The whole of a file in blocks of `frames` frames; the last may be shorter.

    Raises:
        InputError: as of `probe` and `Reader.take`.
    """
    with Reader(source) as reader:
        while len(block := reader.take(frames)):
            yield block


def read(
    source: AudioSource,
    sample_rate: int | None = None,
    mono: bool = False,
    *,
    name: str | None = None,
    max_seconds: float | None = None,
) -> tuple[Float32[np.ndarray, "t c"], int]:
    """All samples of a file and their sample rate, Hz.

    Args:
        source: a path, or an open binary file that can seek.
        sample_rate: convert to this rate; the file's own when None.
        mono: average the channels into one.
        name: what errors call it; by default the path, or the open file's own name.
        max_seconds: the longest that is accepted, before conversion to another rate.

    Raises:
        InputError: as of `probe` and `Reader.take`.
    """
    with Reader(source, name=name, max_seconds=max_seconds) as reader:
        rate_in = reader.info.sample_rate
        rate_out = sample_rate or rate_in
        stream = StreamResampler(rate_in, rate_out, 1 if mono else reader.info.channels)
        parts = []
        while len(block := reader.take(BLOCK)):
            parts.append(stream.push(block.mean(axis=1, keepdims=True) if mono else block))
        parts.append(stream.push(np.zeros((0, parts[0].shape[1]), np.float32), last=True))
    return np.concatenate(parts), rate_out
