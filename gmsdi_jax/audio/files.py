"""Audio files read as streams, with every failure named.

Reading goes block by block through `Reader`, which refuses what a model must never hear: NaN,
infinity, and files cut short. libsndfile does not report all of these: a wav cut in the middle
simply reads as a shorter one, so its header is compared with the size of the file; a cut mp3 has
no error either, so the samples decoded are counted against its header. A cut ogg says nothing
about what is missing and reads as a shorter file.

Formats: wav, flac, ogg, mp3 (and what else libsndfile reads). Audio is float32, full scale = 1.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import soundfile as sf
from jaxtyping import Float32

from gmsdi_jax.audio.resample import StreamResampler
from gmsdi_jax.audio.wav import missing_frames
from gmsdi_jax.errors import InputError

BLOCK = 65536
"""Frames read or written at a time."""

# Lengths in these headers are estimates; less than this share of them counts as cut short.
_WHOLE = {"MP3": 0.9, "OGG": 0.9}
# libsndfile reports unknown lengths as the greatest integer.
_FRAMES_UNKNOWN = 2**62


@dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says; `frames` of an mp3 may be an estimate."""

    path: Path
    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.frames / self.sample_rate


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """The header of an audio file; no sample is decoded.

    Raises:
        InputError: the file is missing, unreadable, not audio, empty, or a wav cut short.
    """
    with Reader(path) as reader:
        return reader.info


class _Sequential(sf.SoundFile):
    """A sound file that is only read onwards.

    After every read soundfile seeks to where it already is. That makes an mp3 decoder drop the bits
    that frames borrow from earlier ones: each block would begin with some 20 ms of wrong sound.
    """

    def seekable(self) -> bool:
        """False: this is what keeps soundfile from seeking."""
        return False


class Reader:
    """An audio file read front to back: `take(n)` gives the next n frames.

    Two readers of one file give equal samples (to float32 precision) whatever the sizes taken, so a
    second one can follow a computation in lockstep. Use it in a `with` statement.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a file.

        Raises:
            InputError: as of `probe`.
        """
        self.info, self._file = _open(Path(path))
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
            raise InputError(
                f"{info.path} is truncated or damaged after {self._seconds(self.position)} s"
                f" ({reason(error)}): copy or download it again"
            ) from error
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            first = self.position + int(np.argmin(finite))
            raise InputError(
                f"{info.path} has NaN or infinite samples, the first at {self._seconds(first)} s:"
                " export it again"
            )
        self.position += len(block)
        if len(block) < n and self.position < info.frames * _WHOLE.get(info.format, 1.0):
            raise _truncated(info.path, self._seconds(self.position), self._seconds(info.frames))
        return block

    def _seconds(self, frames: int) -> str:
        return f"{frames / self.info.sample_rate:.3f}"


def read_blocks(
    path: str | os.PathLike[str], frames: int = BLOCK
) -> Iterator[Float32[np.ndarray, "n c"]]:
    """The whole of a file in blocks of `frames` frames; the last may be shorter.

    Raises:
        InputError: as of `probe` and `Reader.take`.
    """
    with Reader(path) as reader:
        while len(block := reader.take(frames)):
            yield block


def read(
    path: str | os.PathLike[str], sample_rate: int | None = None, mono: bool = False
) -> tuple[Float32[np.ndarray, "t c"], int]:
    """All samples of a file and their sample rate, Hz.

    Args:
        path: the file.
        sample_rate: convert to this rate; the file's own when None.
        mono: average the channels into one.

    Raises:
        InputError: as of `probe` and `Reader.take`.
    """
    with Reader(path) as reader:
        rate_in = reader.info.sample_rate
        rate_out = sample_rate or rate_in
        stream = StreamResampler(rate_in, rate_out, 1 if mono else reader.info.channels)
        parts = []
        while len(block := reader.take(BLOCK)):
            parts.append(stream.push(block.mean(axis=1, keepdims=True) if mono else block))
        parts.append(stream.push(np.zeros((0, parts[0].shape[1]), np.float32), last=True))
    return np.concatenate(parts), rate_out


def _open(path: Path) -> tuple[AudioInfo, sf.SoundFile]:
    _check_readable(path)
    try:
        file = _Sequential(path)
    except (sf.SoundFileError, TypeError) as error:
        raise InputError(
            f"{path} is not audio that can be read ({reason(error)}):"
            " convert it to wav, flac, ogg or mp3"
        ) from error
    info = AudioInfo(path, file.samplerate, file.channels, file.frames, file.format, file.subtype)
    try:
        _check_length(info)
    except InputError:
        file.close()
        raise
    return info, file


def _check_readable(path: Path) -> None:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{path} is a folder: name an audio file")
        if not stat.S_ISREG(mode):
            raise InputError(f"{path} is not a regular file: name an audio file")
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path} is empty (0 bytes): copy or download it again")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path} does not exist: check the name") from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read (permission denied): change its mode") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({reason(error)})") from error


def _check_length(info: AudioInfo) -> None:
    if info.frames == 0:
        raise InputError(f"{info.path} holds no samples (zero length): export it again")
    if info.frames >= _FRAMES_UNKNOWN:
        raise InputError(f"{info.path} does not say how long it is: export it again, or as wav")
    with info.path.open("rb") as file:
        missing = missing_frames(file)
    if missing:
        held, promised = info.frames, info.frames + missing
        raise _truncated(
            info.path, f"{held / info.sample_rate:.3f}", f"{promised / info.sample_rate:.3f}"
        )


def _truncated(path: Path, held: str, promised: str) -> InputError:
    return InputError(
        f"{path} is truncated: {held} s of {promised} s are there: copy or download it again"
    )


def reason(error: Exception) -> str:
    """The plain words of an error, without the path that `str` repeats."""
    if isinstance(error, sf.LibsndfileError):
        return error.error_string.removeprefix("Error : ").rstrip(".")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
