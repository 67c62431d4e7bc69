"""What is known of a folder of downloads: ``downloads.json``, and who may work in it.

Hashing 100 GB again takes minutes, so a file that was verified is remembered with its size and its
time of change; as long as these are the same, it is taken to be the same. An unpacked folder is
remembered too, just before it gets its name, which it gets when it is whole: a record and a folder
together mean a whole one, whatever moment a run was killed at.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from data_pipelines.download.checksums import Checksum
from gmsdi_jax.errors import InputError, OutputError

NAME = "downloads.json"
FORMAT = 1


@dataclass(frozen=True)
class Verified:
    """A file that had its checksum when it was last read."""

    checksum: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Unpacked:
    """A folder that was made of an archive."""

    checksum: str
    """The archive's."""
    folder: str
    """Its name; it has it when it is whole."""
    files: int
    bytes: int
    keep_archive: bool
    """Whether the archive was to stay; if not, one that is still there is removed."""


@dataclass
class Ledger:
    """The record of one folder; every change is written at once, whole or not at all."""

    folder: Path
    files: dict[str, Verified] = field(default_factory=dict)
    unpacked: dict[str, Unpacked] = field(default_factory=dict)

    def verified(self, name: str, checksum: Checksum) -> bool:
        """Whether the file is there, and is the one that was verified."""
        path = self.folder / name
        return path.is_file() and self.files.get(name) == _entry(path, checksum)

    def add_file(self, name: str, checksum: Checksum) -> None:
        """Remembers a file that was just verified."""
        self.files[name] = _entry(self.folder / name, checksum)
        self._write()

    def whole(self, name: str, checksum: Checksum) -> Unpacked | None:
        """What was made of the archive `name`, if it is there and whole."""
        entry = self.unpacked.get(name)
        if entry is None or entry.checksum != str(checksum):
            return None
        return entry if (self.folder / entry.folder).is_dir() else None

    def add_unpacked(self, name: str, entry: Unpacked) -> None:
        """Remembers a folder that is about to get its name."""
        self.unpacked[name] = entry
        self._write()

    def _write(self) -> None:
        text = json.dumps(
            {
                "format": FORMAT,
                "files": {name: asdict(entry) for name, entry in sorted(self.files.items())},
                "unpacked": {name: asdict(entry) for name, entry in sorted(self.unpacked.items())},
            },
            indent=1,
        )
        temporary = self.folder / f".{NAME}.tmp"
        try:
            temporary.write_text(text + "\n", encoding="utf-8")
            temporary.replace(self.folder / NAME)
        except OSError as error:
            raise OutputError(
                f"{self.folder / NAME}: cannot be written ({error.strerror})"
            ) from error


def _entry(path: Path, checksum: Checksum) -> Verified:
    found = path.stat()
    return Verified(str(checksum), found.st_size, found.st_mtime_ns)


def read_ledger(folder: Path) -> Ledger:
    """The record of a folder, empty if there is none.

    Raises:
        InputError: It is damaged, or of another version of this library.
    """
    path = folder / NAME
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields["format"] != FORMAT:
            raise ValueError(f"format {fields['format']}, not {FORMAT}")
        files = {name: Verified(**entry) for name, entry in fields["files"].items()}
        unpacked = {name: Unpacked(**entry) for name, entry in fields["unpacked"].items()}
    except FileNotFoundError:
        return Ledger(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be used ({error}): delete it, then what is there is checked anew"
        ) from error
    return Ledger(folder, files, unpacked)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Makes the folder and works in it as the only one; released also when the process is killed.

    Raises:
        OutputError: Another process is at work, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be used ({error.strerror})") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"{folder}: another gmsdi data download is at work here: wait for it, or stop it"
            ) from None
        except OSError:
            pass  # some network file systems lock no folders; two at once are then the user's care
        yield
    finally:
        os.close(handle)
