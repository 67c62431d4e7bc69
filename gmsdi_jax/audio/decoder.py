"""Opening audio: a decoder whose header was checked, over a path or over an open file.

libsndfile opens what a header promises, and a header may promise anything: a wav cut in the middle
reads as a shorter one, and a file of a few kB may claim a thousand channels or one sample per
second, which would fill the memory once converted. So the file is looked through
(`gmsdi_jax.audio.containers`) and its header compared with the limits below, before any sample is
decoded.

An open file may be anything that reads and seeks: bytes in memory, or one member of a tar. It is
read from its beginning, and whoever opened it closes it.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import soundfile as sf

from gmsdi_jax.audio.containers import Container, examine
from gmsdi_jax.audio.mp3 import SLACK
from gmsdi_jax.errors import InputError

AudioSource = str | os.PathLike[str] | BinaryIO
"""A path, or an open binary file that can seek."""

MAX_CHANNELS = 16
"""More than any flac (8) or cinema bed (9.1.6); a block of 65536 frames stays at 4 MiB."""

SAMPLE_RATES = (8000, 384_000)
"""Hz, from telephone to DXD. A lower rate makes little data long: at 1 Hz, 1 MB is a day."""

# libsndfile reports unknown lengths as the greatest integer.
_FRAMES_UNKNOWN = 2**62


@dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says; `frames` of an mp3 may be an estimate."""

    name: str
    """The path as it was given, or what an open file was called."""
    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.frames / self.sample_rate


class Decoder(sf.SoundFile):
    """A sound file that is only read onwards.

    After every read soundfile seeks to where it already is. That makes an mp3 decoder drop the bits
    that frames borrow from earlier ones: each block would begin with some 20 ms of wrong sound.
    """

    def seekable(self) -> bool:
        """False: this is what keeps soundfile from seeking."""
        return False


class Stream:
    """An open file as libsndfile calls it back: errors cannot be raised there, so they are kept."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None
        """The first failure of the file below, after which it reads as ended."""

    def read(self, n: int) -> bytes:
        """The next n bytes, fewer at the end."""
        try:
            return b"" if self.error else self._file.read(n)
        except OSError as error:
            self.error = error
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to a place; a damaged file may ask for one before its beginning, which does not."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return self._file.tell()

    def tell(self) -> int:
        """The place of the next byte."""
        return self._file.tell()


class Opened(NamedTuple):
    """An audio file at its first sample."""

    info: AudioInfo
    decoder: Decoder
    stream: Stream | None
    """Of an open file."""
    container: Container


def open_audio(
    source: AudioSource, name: str | None = None, max_seconds: float | None = None
) -> Opened:
    """Opens a file after its header was checked.

    Raises:
        InputError: as of `gmsdi_jax.audio.probe`.
    """
    if isinstance(source, str | os.PathLike):
        name, stream = name or str(source), None
        container = _examine_path(Path(source), name)
        opened = os.fsencode(source)  # soundfile cannot encode every name that a file may have
    else:
        name, stream = name or str(getattr(source, "name", "audio")), Stream(source)
        container = _examine(source, name)
        opened = stream
    try:
        # soundfile's stub asks for a whole file object; reading needs read, seek and tell.
        file = Decoder(opened)  # pyright: ignore[reportArgumentType]
    except (sf.SoundFileError, TypeError) as error:
        check_stream(name, stream)
        raise _not_audio(name, reason(error)) from error
    info = AudioInfo(name, file.samplerate, file.channels, file.frames, file.format, file.subtype)
    try:
        check_stream(name, stream)
        _check_header(info, container, max_seconds)
    except InputError:
        file.close()
        raise
    return Opened(info, file, stream, container)


def check_stream(name: str, stream: Stream | None) -> None:
    """Raises InputError if the file below failed, which a decoder takes for its end."""
    if stream and stream.error:
        raise _unreadable(name, stream.error) from stream.error


def truncated(name: str, held: str, promised: str) -> InputError:
    """The error of a file that ends before its header says so."""
    return InputError(
        f"{name} is truncated: {held} s of {promised} s are there: copy or download it again"
    )


def reason(error: Exception) -> str:
    """The plain words of an error, without the path that `str` repeats."""
    if isinstance(error, sf.LibsndfileError):
        return error.error_string.removeprefix("Error : ").rstrip(".")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def damaged(name: str, why: str) -> InputError:
    """The error of a file that is not as it was written."""
    return InputError(f"{name} is truncated or damaged ({why}): copy or download it again")


def _not_audio(name: str, why: str) -> InputError:
    return InputError(
        f"{name} is not audio that can be read ({why}): convert it to wav, flac, ogg or mp3"
    )


def _examine_path(path: Path, name: str) -> Container:
    """What a file says of itself; the checks that only a path needs come first."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{name} is a folder: name an audio file")
        if not stat.S_ISREG(mode):
            raise InputError(f"{name} is not a regular file: name an audio file")
        with path.open("rb") as file:
            return _examine(file, name, path.suffix.lower())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{name} does not exist: check the name") from error
    except PermissionError as error:
        raise InputError(f"{name} may not be read (permission denied): change its mode") from error
    except OSError as error:
        raise _unreadable(name, error) from error


def _examine(file: BinaryIO, name: str, suffix: str = "") -> Container:
    """What an open file says of itself; leaves it at its beginning."""
    try:
        file.seek(0)
        if not file.read(1):
            raise InputError(f"{name} is empty (0 bytes): copy or download it again")
        container = examine(file, suffix)
        file.seek(0)
    except OSError as error:
        raise _unreadable(name, error) from error
    if container.mp3 and not container.mp3.samples:
        raise _not_audio(name, "it has no whole frame of an mp3")
    # A wav that says how much is missing is told so once its sample rate is known.
    if container.problem and not container.missing:
        raise damaged(name, container.problem)
    return container


def _unreadable(name: str, error: OSError) -> InputError:
    return InputError(f"{name} cannot be read ({reason(error)})")


def _check_header(info: AudioInfo, container: Container, max_seconds: float | None) -> None:
    lowest, highest = SAMPLE_RATES
    if not lowest <= info.sample_rate <= highest:
        raise InputError(
            f"{info.name} has a sample rate of {info.sample_rate} Hz, not {lowest} to {highest}:"
            " convert it"
        )
    if info.channels > MAX_CHANNELS:
        raise InputError(
            f"{info.name} has {info.channels} channels, more than {MAX_CHANNELS}: mix it down"
        )
    if info.frames == 0:
        raise InputError(f"{info.name} holds no samples (zero length): export it again")
    if info.frames >= _FRAMES_UNKNOWN:
        raise InputError(f"{info.name} does not say how long it is: export it again, or as wav")
    if container.missing:
        held, promised = info.frames, info.frames + container.missing
        rate = info.sample_rate
        raise truncated(info.name, f"{held / rate:.3f}", f"{promised / rate:.3f}")
    mp3 = container.mp3
    if mp3 and mp3.samples / mp3.sample_rate > info.seconds + SLACK:
        raise InputError(
            f"{info.name} does not say how long it is, as an mp3 of variable bit rate should:"
            " convert it to flac or wav"
        )
    # libsndfile never decodes more frames than it announced.
    if max_seconds is not None and info.seconds > max_seconds:
        raise InputError(
            f"{info.name} is longer than {max_seconds / 60:.6g} minutes: cut it into shorter files"
        )
