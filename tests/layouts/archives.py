"""Tars, whole and hostile, and WebDataset shards."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import soundfile

from layouts.signals import tone


def tar(path: Path, members: Iterable[tuple[str, bytes] | tarfile.TarInfo]) -> Path:
    """A tar of files (name and bytes), and of whatever `entry` makes, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as file:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                file.addfile(member)
            else:
                name, data = member
                info = tarfile.TarInfo(name)
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    return path


def entry(name: str, kind: bytes = tarfile.DIRTYPE, link: str = "") -> tarfile.TarInfo:
    """A member without bytes: a folder, or a link, a device, a pipe (`tarfile`'s types)."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def audio_bytes(
    frequency: float = 440.0,
    seconds: float = 2.0,
    *,
    format: str = "FLAC",
    sample_rate: int = 22050,
    channels: int = 1,
) -> bytes:
    """A tone as a file of this format, such as FLAC, WAV, MP3, OGG."""
    buffer = io.BytesIO()
    audio = tone(frequency, seconds, sample_rate, channels=channels)
    soundfile.write(buffer, audio, sample_rate, format=format)
    return buffer.getvalue()


def webdataset(path: Path, samples: Mapping[str, Mapping[str, bytes]]) -> Path:
    """A WebDataset shard: by key, the bytes of each extension; a sample's files are neighbours."""
    files = [
        (f"{key}.{ext}", data) for key, parts in samples.items() for ext, data in parts.items()
    ]
    return tar(path, files)
