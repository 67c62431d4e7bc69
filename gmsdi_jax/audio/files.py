"""Audio files as streams: read with every failure named, write so that nothing is half done.

Reading goes block by block through `Reader`, which refuses what a model must never hear: NaN,
infinity, and files cut short. libsndfile does not report all of these: a wav cut in the middle
simply reads as a shorter one, so its header is compared with the size of the file; a cut mp3 has
no error either, so the samples decoded are counted against its header. A cut ogg says nothing
about what is missing and reads as a shorter file.

Writing goes through `Writer`: it opens the destination at once, so that a wrong path fails before
hours of computing, writes to a hidden name beside it, and renames when all samples are there. A
file of that name is therefore always whole.

Formats: wav, flac, ogg, mp3 (and what else libsndfile reads). Audio is float32, full scale = 1.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import soundfile as sf
from jaxtyping import Float, Float32

from gmsdi_jax.audio.resample import StreamResampler
from gmsdi_jax.errors import InputError, NumericsError, OutputError

BLOCK = 65536
"""Frames read or written at a time."""

FORMATS = {
    ".wav": ("WAV", "FLOAT"),
    ".flac": ("FLAC", "PCM_24"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
"""Format and default subtype of each extension that can be written."""

# Lengths in these headers are estimates; less than this share of them counts as cut short.
_WHOLE = {"MP3": 0.9, "OGG": 0.9}
# Sizes from here up in a wav header mean that it was written to a pipe: the length is unknown.
_WAV_SIZE_UNKNOWN = 0x7FFFF000
# libsndfile reports unknown lengths as the greatest integer.
_FRAMES_UNKNOWN = 2**62
# A plain wav counts its bytes with 32 bits; some are needed for the header.
_WAV_LIMIT = 2**32 - 2**16
_SAMPLE_BYTES = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4}
# Beyond this rate (Hz) libvorbis cannot encode, and libsndfile crashes instead of saying so.
_VORBIS_MAX_RATE = 200_000
# Formats that hold samples beyond full scale.
_UNBOUNDED = ("FLOAT", "DOUBLE")


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


class Reader:
    """An audio file read front to back: `take(n)` gives the next n frames.

    Two readers of one file give equal samples whatever the sizes taken, so a second one can follow
    a computation in lockstep. Use it in a `with` statement.
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
                f" ({_reason(error)}): copy or download it again"
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


class Writer:
    """An audio file being written, complete or absent: use it in a `with` statement.

    The format follows the extension: wav (32-bit float), flac (24 bit), ogg (Vorbis), mp3. On a
    clean exit the file appears under its name; after an exception nothing is left.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate: int,
        channels: int,
        subtype: str | None = None,
        frames: int | None = None,
    ) -> None:
        """Open the destination, making its folder where needed.

        Args:
            path: the destination; its extension chooses the format.
            sample_rate: Hz.
            channels: number of channels.
            subtype: sample format in libsndfile's words, such as PCM_16, PCM_24, FLOAT.
            frames: the expected length; a wav that would pass 4 GiB becomes RF64.

        Raises:
            OutputError: the destination cannot be written, or the format cannot hold such audio.
        """
        self.path = Path(path)
        self.frames = 0
        """Frames written so far."""
        self.clipped = 0
        """Samples written beyond full scale to a format that cannot hold them."""
        self._part = self.path.with_name(f".{self.path.name}.part")
        format, self._subtype = _format(self.path, sample_rate, subtype)
        self._frame_bytes = channels * _SAMPLE_BYTES.get(self._subtype, 8)
        if format == "WAV" and (frames or 0) * self._frame_bytes > _WAV_LIMIT:
            format = "RF64"
        self._limit = _WAV_LIMIT // self._frame_bytes if format == "WAV" else None
        _create(self.path, self._part)
        try:
            self._file = sf.SoundFile(
                self._part, "w", sample_rate, channels, self._subtype, format=format
            )
        except (sf.SoundFileError, TypeError, ValueError) as error:
            self._part.unlink(missing_ok=True)
            raise OutputError(
                f"cannot write {self.path} as {format} {self._subtype} at {sample_rate} Hz with"
                f" {channels} channels ({_reason(error)}): choose a .wav or .flac name"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def write(self, audio: Float[np.ndarray, "n c"]) -> None:
        """Append samples.

        Raises:
            NumericsError: a sample is NaN or infinite.
            OutputError: the file system refuses, or a plain wav would pass 4 GiB.
            ValueError: the number of channels differs.
        """
        audio = np.asarray(audio, dtype=np.float32)
        if not np.isfinite(audio).all():
            raise NumericsError(f"the audio for {self.path} has NaN or infinite samples")
        if self._limit is not None and self.frames + len(audio) > self._limit:
            raise OutputError(f"{self.path} would pass the 4 GiB of a wav: choose a .flac name")
        if self._subtype not in _UNBOUNDED:
            self.clipped += int(np.count_nonzero(np.abs(audio) > 1))
        # In blocks, for libsndfile's Vorbis encoder overflows the stack on long arrays.
        for start in range(0, len(audio), BLOCK):
            block = audio[start : start + BLOCK]
            try:
                self._file.write(block)
            except (sf.SoundFileError, AssertionError) as error:
                raise _not_written(self.path, _reason(error)) from error
            self.frames += len(block)

    def close(self) -> None:
        """Complete the file and give it its name.

        Raises:
            OutputError: the end could not be written, or the name is taken by a folder.
        """
        try:
            self._file.close()
            # Encoders write their last samples on closing and do not report failures there.
            if self.frames and sf.info(self._part).frames != self.frames:
                raise _not_written(self.path, "its end is missing")
            os.replace(self._part, self.path)
        except (sf.SoundFileError, OSError) as error:
            raise _not_written(self.path, _reason(error)) from error
        finally:
            self._part.unlink(missing_ok=True)

    def discard(self) -> None:
        """Give up: remove what was written."""
        with contextlib.suppress(sf.SoundFileError):
            self._file.close()
        self._part.unlink(missing_ok=True)


def write(
    path: str | os.PathLike[str],
    audio: Float[np.ndarray, "t c"],
    sample_rate: int,
    subtype: str | None = None,
) -> int:
    """Write a file, and return how many samples were clipped (see `Writer`).

    Raises:
        NumericsError: a sample is NaN or infinite.
        OutputError: the destination cannot be written, or the format cannot hold such audio.
    """
    with Writer(path, sample_rate, audio.shape[1], subtype, frames=len(audio)) as writer:
        writer.write(audio)
    return writer.clipped


def _open(path: Path) -> tuple[AudioInfo, sf.SoundFile]:
    _check_readable(path)
    try:
        file = sf.SoundFile(path)
    except (sf.SoundFileError, TypeError) as error:
        raise InputError(
            f"{path} is not audio that can be read ({_reason(error)}):"
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
        raise InputError(f"{path} cannot be read ({_reason(error)})") from error


def _check_length(info: AudioInfo) -> None:
    if info.frames == 0:
        raise InputError(f"{info.path} holds no samples (zero length): export it again")
    if info.frames >= _FRAMES_UNKNOWN:
        raise InputError(f"{info.path} does not say how long it is: export it again, or as wav")
    with info.path.open("rb") as file:
        missing = _missing_wav_frames(file)
    if missing:
        held, promised = info.frames, info.frames + missing
        raise _truncated(
            info.path, f"{held / info.sample_rate:.3f}", f"{promised / info.sample_rate:.3f}"
        )


def _missing_wav_frames(file: BinaryIO) -> int:
    """Frames that the header of a wav (RIFF or RF64) promises beyond the end of the file.

    libsndfile takes the smaller number without a word. Zero for other formats, and for a wav that
    was written to a pipe and does not know its length.
    """
    header = file.read(12)
    if header[:4] not in (b"RIFF", b"RF64") or header[8:] != b"WAVE":
        return 0
    frame_bytes, size64 = 1, None
    while len(chunk := file.read(8)) == 8:
        size = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            if size >= _WAV_SIZE_UNKNOWN:
                size = size64 or 0
            start = file.tell()
            end = file.seek(0, os.SEEK_END)
            return max(0, start + size - end) // frame_bytes
        body_start = file.tell()
        if chunk[:4] == b"ds64":
            size64 = int.from_bytes(file.read(16)[8:], "little")
        elif chunk[:4] == b"fmt ":
            frame_bytes = max(1, int.from_bytes(file.read(14)[12:], "little"))
        file.seek(body_start + size + size % 2)
    return 0


def _format(path: Path, sample_rate: int, subtype: str | None) -> tuple[str, str]:
    """Format and subtype, in libsndfile's words, for a destination."""
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"cannot write {path}: its name must end in {', '.join(FORMATS)}")
    format, default = FORMATS[path.suffix.lower()]
    subtype = (subtype or default).upper()
    if not sf.check_format(format, subtype):
        known = ", ".join(sf.available_subtypes(format))
        raise OutputError(f"cannot write {path} with subtype {subtype}: choose one of {known}")
    if subtype == "VORBIS" and sample_rate > _VORBIS_MAX_RATE:
        raise OutputError(f"cannot write {path} at {sample_rate} Hz: choose a .wav or .flac name")
    return format, subtype


def _create(path: Path, part: Path) -> None:
    """Make the folder of a destination and the empty hidden file beside it."""
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.open("wb").close()
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({_reason(error)}): choose another folder"
        ) from error


def _truncated(path: Path, held: str, promised: str) -> InputError:
    return InputError(
        f"{path} is truncated: {held} s of {promised} s are there: copy or download it again"
    )


def _not_written(path: Path, reason: str) -> OutputError:
    return OutputError(f"cannot write {path} ({reason}): is the disk full?")


def _reason(error: Exception) -> str:
    """The plain words of an error, without the path that `str` repeats."""
    if isinstance(error, sf.LibsndfileError):
        return error.error_string.removeprefix("Error : ").rstrip(".")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
