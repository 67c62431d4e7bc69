"""Audio read in place from uncompressed tars: what a tar holds is listed once, never extracted.

A tar is a row of members, each a header of 512 bytes and its content, padded to 512. `index` walks
from header to header, so a tar of gigabytes is listed in moments, and a `Member` (tar, offset,
size) is all that any process needs to read one of them.

The standard library's ``tarfile`` takes a damaged header for the end of the tar, and then loses all
that follows without a word; here whatever cannot be used is named. Members that are no plain files
inside the tar's own folder (``../``, absolute names, links, devices) are refused one by one, since
nothing is ever written. After damage the rest of a tar cannot be found: the members before it are
kept, and the damage is one more refused entry.
"""

import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from data_pipelines.text_files import open_regular
from gmsdi_jax.errors import InputError

BLOCK = 512
MAX_NAME = 2**16
"""Bytes of the records that hold a long name; none is longer than a few hundred."""

_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_EMPTY = (
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
)
_KINDS = {
    tarfile.SYMTYPE: "a link",
    tarfile.LNKTYPE: "a link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "stored with holes",
}


class Member(NamedTuple):
    """A plain file inside a tar."""

    tar: Path
    name: str
    offset: int
    """Its first byte in the tar."""
    size: int
    """Bytes."""

    def __str__(self) -> str:
        return f"{self.tar}: {self.name}"

    def open(self) -> BinaryIO:
        """Its bytes, as an open file that can seek.

        Raises:
            InputError: the tar cannot be opened.
        """
        try:
            tar = io.FileIO(self.tar)
        except OSError as error:
            raise InputError(f"{self.tar} cannot be read ({error.strerror})") from error
        return io.BufferedReader(_Slice(tar, self.offset, self.size), 2**18)


@dataclass
class Index:
    """What a tar holds."""

    members: dict[str, Member] = field(default_factory=dict)
    """The files that can be read, by name, in their order."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why others cannot, by name; damage of the tar itself stands under ``""``."""


def index(tar: Path) -> Index:
    """Lists a tar.

    Raises:
        InputError: it cannot be opened.
    """
    found = Index()
    try:
        with open_regular(tar) as file:
            try:
                for name, kind, offset, size, whole in _members(file):
                    _add(found, Member(tar, name, offset, size), kind, whole)
            except (tarfile.HeaderError, ValueError, OverflowError) as error:
                found.refused[""] = f"{tar} is damaged or cut short ({error}): download it again"
    except OSError as error:
        raise InputError(f"{tar} cannot be read ({error.strerror or error})") from error
    return found


def printable(name: str) -> str:
    """A name that stays on its line and can be encoded, whatever characters it has."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in name)


def _add(found: Index, member: Member, kind: bytes, whole: bool) -> None:
    """Takes a member in, or notes why not."""
    if kind == tarfile.DIRTYPE:
        return
    why = None
    if kind not in _PLAIN:
        why = f"is {_KINDS.get(kind, 'no plain file')}, which is not followed"
    elif member.name.startswith("/") or ".." in member.name.split("/"):
        why = "points out of the tar"
    elif not whole:
        why = "is cut short: download the tar again"
    elif member.name in found.members or member.name in found.refused:
        found.members.pop(member.name, None)
        why = "is there twice: pack the tar again"
    if why is None:
        found.members[member.name] = member
    else:
        found.refused[member.name] = f"{member} {why}"


def _members(file: BinaryIO) -> Iterator[tuple[str, bytes, int, int, bool]]:
    """Name, kind, offset and size of each member, and whether its content is all there."""
    end = file.seek(0, os.SEEK_END)
    position, long_name, records = 0, None, {}
    while True:
        header = _block(file, position)
        if not any(header):
            _check_end(file, position)
            return
        info = tarfile.TarInfo.frombuf(header, "utf-8", "backslashreplace")
        start, size = position + BLOCK, info.size
        if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            text = _content(file, start, size).rstrip(b"\0").decode("utf-8", "backslashreplace")
            long_name = text if info.type == tarfile.GNUTYPE_LONGNAME else long_name
        elif info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            records = _records(_content(file, start, size))
        elif info.type != tarfile.XGLTYPE:
            name = printable(records.get("path") or long_name or info.name).removeprefix("./")
            holes = any(key.startswith("GNU.sparse") for key in records)
            kind = tarfile.GNUTYPE_SPARSE if holes else info.type
            # Folders, links and devices have no content, whatever size they claim.
            size = 0 if kind in _EMPTY else int(records.get("size", size))
            if size < 0:
                raise ValueError(f"{name} has a negative size")
            whole = start + size <= end
            yield name or "(no name)", kind, start, size, whole
            if not whole:
                raise ValueError(f"it ends inside {name}")
            long_name, records = None, {}
        position = start + -(-size // BLOCK) * BLOCK


def _block(file: BinaryIO, position: int) -> bytes:
    file.seek(position)
    block = file.read(BLOCK)
    if len(block) < BLOCK:
        raise ValueError("its end mark is missing" if position else "it is no tar")
    return block


def _content(file: BinaryIO, start: int, size: int) -> bytes:
    """What a header for long names holds."""
    if not 0 <= size <= MAX_NAME:
        raise ValueError(f"a name of {size} bytes")
    file.seek(start)
    return file.read(size)


def _records(data: bytes) -> dict[str, str]:
    """The records of a pax header, each ``length key=value`` and a line end."""
    records = {}
    while data:
        length = int(data.split(b" ", 1)[0])
        key, mark, value = data[:length].partition(b" ")[2].partition(b"=")
        if length < 1 or not mark or not value.endswith(b"\n") or length > len(data):
            raise ValueError("a damaged pax header")
        records[key.decode("utf-8", "backslashreplace")] = value[:-1].decode(
            "utf-8", "backslashreplace"
        )
        data = data[length:]
    return records


def _check_end(file: BinaryIO, position: int) -> None:
    """From the end mark on there are only zeros: else it is a hole in the middle of the tar."""
    file.seek(position)
    while block := file.read(2**20):
        if any(block):
            raise ValueError("more follows after its end mark")


class _Slice(io.RawIOBase):
    """Part of a file as a file of its own."""

    def __init__(self, file: io.FileIO, offset: int, size: int) -> None:
        self._file, self._offset, self._size = file, offset, size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = max(0, self._size - self._position)
        self._file.seek(self._offset + self._position)
        count = self._file.readinto(memoryview(buffer)[:left]) or 0
        self._position += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("a place before the beginning")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        self._file.close()
        super().close()
