"""Audio files read as streams, with every failure named.

Reading goes block by block through `Reader`, which refuses what a model must never hear: NaN,
infinity, and files cut short. libsndfile does not report all of these: a wav cut in the middle
simply reads as a shorter one, so its header is compared with the size of the file; a cut mp3 has
no error either, so the samples decoded are counted against its header. A cut ogg says nothing
about what is missing and reads as a shorter file. So may an mp3 of variable bit rate that lacks
the frame which counts the others: its length is guessed from the first one.

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
    open_audio,
    reason,
    truncated,
)
from gmsdi_jax.audio.resample import StreamResampler
from gmsdi_jax.errors import InputError

BLOCK = 65536
"""Frames read or written at a time."""

# Lengths in these headers are estimates; less than this share of them counts as cut short.
_WHOLE = {"MP3": 0.9, "OGG": 0.9}


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
        self.info, self._file, self._stream = open_audio(source, name, max_seconds)
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
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            first = self.position + int(np.argmin(finite))
            raise InputError(
                f"{info.name} has NaN or infinite samples, the first at {self._seconds(first)} s:"
                " export it again"
            )
        self.position += len(block)
        if len(block) < n and self.position < info.frames * _WHOLE.get(info.format, 1.0):
            raise truncated(info.name, self._seconds(self.position), self._seconds(info.frames))
        return block

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
