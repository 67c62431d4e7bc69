"""Audio files written so that nothing is half done.

A `Writer` opens the destination at once, so that a wrong path fails before hours of computing,
writes to a hidden name beside it, and renames when all samples are there and can be read back. A
file of that name is therefore always whole.

Formats: wav, flac, ogg, mp3. Audio is float32, full scale = 1.
"""

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile as sf
from jaxtyping import Float

from gmsdi_jax.audio.decoder import reason
from gmsdi_jax.audio.files import BLOCK
from gmsdi_jax.errors import NumericsError, OutputError

FORMATS = {
    ".wav": ("WAV", "FLOAT"),
    ".flac": ("FLAC", "PCM_24"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
"""Format and default subtype of each extension that can be written."""

# A plain wav counts its bytes with 32 bits; some are needed for the header.
_WAV_LIMIT = 2**32 - 2**16
_SAMPLE_BYTES = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4}
# Beyond this rate (Hz) libvorbis cannot encode, and libsndfile crashes instead of saying so.
_VORBIS_MAX_RATE = 200_000
# Formats that hold samples beyond full scale.
_UNBOUNDED = ("FLOAT", "DOUBLE")


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
        format, self._subtype = _format(self.path, sample_rate, subtype)
        self._part = self.path.with_name(f".{self.path.name}.part")
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
                f" {channels} channels ({reason(error)}): choose a .wav or .flac name"
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
                raise _not_written(self.path, reason(error)) from error
            self.frames += len(block)

    def close(self) -> None:
        """Complete the file and give it its name.

        Raises:
            OutputError: the end could not be written, or the name is taken by a folder.
        """
        try:
            self._file.close()
            # Encoders write their last samples on closing and do not report failures there.
            if self.frames and not _ends_at(self._part, self.frames):
                raise _not_written(self.path, "its end is missing")
            os.replace(self._part, self.path)
        except (sf.SoundFileError, OSError) as error:
            raise _not_written(self.path, reason(error)) from error
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
    try:
        if path.is_dir():
            raise OutputError(f"cannot write {path}: it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        part.open("wb").close()
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({reason(error)}): choose another folder"
        ) from error


def _ends_at(path: Path, frames: int) -> bool:
    """Whether a file claims this length and its last frame can be decoded."""
    with sf.SoundFile(path) as file:
        if file.frames != frames:
            return False
        file.seek(frames - 1)
        return len(file.read(1)) == 1


def _not_written(path: Path, why: str) -> OutputError:
    return OutputError(f"cannot write {path} ({why}): is the disk full?")
