"""Tar archives to folders, however hostile the archive.

Only plain files and folders come out of an archive; the rest of what tar can hold is refused, with
the whole archive, before it does anything: absolute names, ``..``, links, devices, a file twice or
where a folder is, more members or bytes than the data set can have, and compression beyond any
audio (a bomb; the padding and the headers count too). Every file is created by us, exclusively, in
a new hidden folder in which nothing else is, so there is nothing that a name could lead out by.
The standard library's ``data`` filter is asked as a second opinion.

The folder gets its name at the end, in one step: a folder of that name is whole. An archive that is
cut off, or damaged in the middle, is noticed by its missing end mark or checksum, where ``tarfile``
would take a damaged header for the end.
"""

import gzip
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from data_pipelines.download.members import Members
from data_pipelines.download.stream import LARGEST_READ, TarStream
from gmsdi_jax.errors import InputError, OutputError

_DAMAGED = (
    tarfile.TarError,
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    ValueError,
    OverflowError,
    RecursionError,
)


@dataclass(frozen=True)
class Limits:
    """What an archive may hold."""

    members: int
    """Files and folders."""
    size: int
    """Bytes of all that it unpacks to."""
    ratio: float = 30.0
    """Times its own size that it may unpack to; audio stays below 10."""


class Contents(NamedTuple):
    """What came out of an archive."""

    files: int
    bytes: int


def unpack(
    archive: Path,
    folder: Path,
    limits: Limits,
    on_bytes: Callable[[int, int], None] = lambda done, total: None,
    before_move: Callable[[Contents], None] = lambda contents: None,
) -> Contents:
    """Unpacks an archive to a new folder, whole or not at all.

    If all that the archive holds is one folder of that name, the result is that folder; otherwise
    everything is put into it.

    Args:
        archive: A tar, as it is or compressed with gzip.
        folder: Where it goes; a hidden folder beside it holds the files meanwhile, and what an
            earlier run left there is removed.
        limits: What it may hold.
        on_bytes: Told how many bytes of the archive are read, and of how many.
        before_move: Called when all is unpacked, before the folder gets its name.

    Raises:
        InputError: The archive is damaged or refused, or the folder is there already.
        OutputError: The files cannot be written.
    """
    if os.path.lexists(folder):
        raise InputError(
            f"{folder}: is there already, and not from {archive.name}: move it away, "
            "or choose another folder"
        )
    unfinished = folder.with_name(f".{folder.name}.unpacking")
    try:
        sweep(folder)
        unfinished.mkdir()
        try:
            contents = _extract(archive, unfinished, limits, on_bytes)
            # What is not on the disk yet could be lost with the power, and the archive may go next.
            os.sync()
            before_move(contents)
            _single(unfinished, folder.name).rename(folder)
        finally:
            sweep(folder)
    except OSError as error:
        raise OutputError(f"{folder}: {archive.name} cannot be unpacked ({error})") from error
    return contents


def sweep(folder: Path) -> None:
    """Removes what an unpacking to `folder` that was stopped has left."""
    unfinished = folder.with_name(f".{folder.name}.unpacking")
    if unfinished.exists():
        shutil.rmtree(unfinished)


def _single(unfinished: Path, name: str) -> Path:
    """The one folder of that name in what was unpacked, or all of it."""
    entries = list(unfinished.iterdir())
    single = len(entries) == 1 and entries[0].name == name and entries[0].is_dir()
    return entries[0] if single else unfinished


def _extract(
    archive: Path, folder: Path, limits: Limits, on_bytes: Callable[[int, int], None]
) -> Contents:
    members = Members(archive.name, limits.members, limits.size)
    # Headers and padding come on top of the files; a member needs three blocks at the most.
    size = limits.size + 2048 * limits.members
    with TarStream(archive, size, limits.ratio, on_bytes) as stream:
        try:
            with tarfile.TarFile(fileobj=stream, mode="r") as tar:
                for member in tar:
                    place = members.place(member, folder)
                    if place is not None:
                        _write(tar, member, place)
                if not stream.at_end_mark():
                    raise tarfile.ReadError("its end mark is missing: cut off")
            stream.drain()
        except _DAMAGED as error:
            raise InputError(f"{archive}: damaged ({error}): delete it and run again") from error
        except FileExistsError as error:  # two names that differ in case, where that is no matter
            raise InputError(f"{archive}: refused: {error.filename} is in it twice") from error
    if not members.files:
        raise InputError(f"{archive}: holds no files: delete it and run again")
    return Contents(members.files, members.bytes)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    """One folder, or one file with all of its bytes."""
    if member.isdir():
        place.mkdir(parents=True, exist_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    source: IO[bytes] | None = tar.extractfile(member)
    assert source is not None, "only plain files come here"
    left = member.size
    with place.open("xb") as target:
        while left and (block := source.read(min(LARGEST_READ, left))):
            target.write(block)
            left -= len(block)
    if left:
        raise EOFError(f"{member.name[:80]!r} is cut off")
