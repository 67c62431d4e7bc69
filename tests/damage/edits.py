"""Damage to any file: cut, flipped, replaced, or something else under its name."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

Edit = Callable[[Path], object]
"""Changes a file."""

HTML = b"<html><head><title>404</title></head><body>Not found</body></html>\n" * 20
"""What servers send in place of files."""


def cut(size: float) -> Edit:
    """Keeps so many bytes; a share of them if below 1; all but so many if negative."""

    def edit(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: int(size * len(data)) if 0 < size < 1 else int(size)])

    return edit


def flip(byte: float, bit: int = 0) -> Edit:
    """Flips one bit of a byte; its place is a share of the length if between 0 and 1."""

    def edit(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[int(byte * len(data)) if 0 < byte < 1 else int(byte)] ^= 1 << bit
        path.write_bytes(data)

    return edit


def put(place: int, data: bytes) -> Edit:
    """Writes bytes over those at a place."""

    def edit(path: Path) -> None:
        old = path.read_bytes()
        path.write_bytes(old[:place] + data + old[place + len(data) :])

    return edit


def hole(share: float, size: int) -> Edit:
    """Zeros in the middle, as a block of a disk that was never written."""

    def edit(path: Path) -> None:
        put(int(share * path.stat().st_size), bytes(size))(path)

    return edit


def become(data: bytes | str) -> Edit:
    """Other bytes altogether."""
    return lambda path: path.write_bytes(data.encode() if isinstance(data, str) else data)


def vanish(path: Path) -> None:
    """No file."""
    path.unlink()


def folder(path: Path) -> None:
    """A folder of that name."""
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    """A named pipe, which nobody writes to."""
    path.unlink()
    os.mkfifo(path)


def link(target: str) -> Edit:
    """A link; a target without a leading slash lies beside the source."""

    def edit(path: Path) -> None:
        path.unlink()
        outside = next(p for p in path.parents if p.name == "source").parent
        path.symlink_to(outside / target)

    return edit


def with_mark(path: Path) -> None:
    """A byte order mark in front, as some editors write it."""
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def gz_bomb(path: Path) -> None:
    """A few kB that unpack to ten megabytes, and could to more."""
    path.write_bytes(gzip.compress(bytes(10**7)))


def gzipped(path: Path) -> None:
    """The same, packed."""
    path.write_bytes(gzip.compress(path.read_bytes()))


def sub(old: str | bytes, new: str | bytes, count: int = 1) -> Edit:
    """Replaces text in a file, which must be there."""
    before, after = (x.encode() if isinstance(x, str) else x for x in (old, new))

    def edit(path: Path) -> None:
        data = path.read_bytes()
        assert before in data
        path.write_bytes(data.replace(before, after, count))

    return edit


def at(name: str, edit: Edit) -> Edit:
    """The edit of a file in a folder."""
    return lambda folder: edit(folder / name)
