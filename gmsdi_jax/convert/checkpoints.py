"""PyTorch's two kinds of files, read without PyTorch.

Since 1.6 a file is a zip archive, not compressed: the pickle ``data.pkl`` and one member per
storage. Before, it was a row of pickles (a magic number, a version, facts of the machine, the
object, the keys of its storages) with the storages behind. Either way the file is mapped into
memory, and arrays are views of it: a checkpoint of 5 GB takes none until its weights are looked at.

Source: ``torch.serialization``.
"""

import io
import mmap
import struct
import zipfile
from pathlib import Path
from typing import Any

from gmsdi_jax.convert.pickles import read_pickle
from gmsdi_jax.convert.places import State, chosen
from gmsdi_jax.convert.tensors import Outside, Storage, array_of, entries_of, plain, storage_of

MAGIC = 0x1950A86A20F9469CFC6C
"""What a file before 1.6 starts with."""


def is_checkpoint(start: bytes) -> bool:
    """Whether a file that starts so may be one of PyTorch's."""
    return start.startswith((b"PK\x03\x04", b"\x80"))


def read_checkpoint(path: Path, key: str | None = None) -> State:
    """The weights in a file of ``torch.save``, as views of it.

    Raises:
        ValueError: it is damaged or holds no weights.
        ConfigError: there are weights, but not below `key`, or it takes a key to choose.
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    opened = _zipped if mapped[:2] == b"PK" else _in_a_row
    try:
        tree, outside = opened(mapped)
        entries, others = chosen(tree, key)
        found = {name: array_of(node, outside) for name, node in entries.items()}
        told = plain(entries_of((entries_of(tree) or {}).get("hyper_parameters")) or {})
    except (TypeError, IndexError, OverflowError, RecursionError, struct.error) as error:
        raise ValueError(f"not a valid checkpoint ({type(error).__name__}: {error})") from error
    arrays = {name: array for name, array in found.items() if array is not None}
    if sum(array.nbytes for array in arrays.values()) > 8 * len(mapped):
        raise ValueError("its arrays are many times larger than the file: they repeat its numbers")
    return State(arrays, told, others)


def _zipped(mapped: mmap.mmap) -> tuple[Any, Outside]:
    """The object and its storages, in an archive."""
    try:
        members = {info.filename: info for info in zipfile.ZipFile(mapped).infolist()}  # type: ignore
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise ValueError(f"damaged, or cut off while it was copied ({error})") from error
    roots = [name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")]
    if not roots:
        raise ValueError("a zip archive without data.pkl: no checkpoint of PyTorch")
    root = min(roots, key=len)

    def member(name: str) -> memoryview:
        if root + name not in members:
            raise ValueError(f"{name} is missing in the archive")
        return _stored(mapped, members[root + name])

    def read(storage: Storage) -> memoryview:
        return _part(member(f"data/{storage.key}"), storage)

    big = root + "byteorder" in members and bytes(member("byteorder")) == b"big"
    tree = read_pickle(io.BytesIO(member("data.pkl"))).value
    return tree, Outside(read, len(mapped), ">" if big else "<")


def _stored(mapped: mmap.mmap, info: zipfile.ZipInfo) -> memoryview:
    """The bytes of a member, which lie behind its name and its extra field."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise ValueError(f"{info.filename} is compressed or encrypted: PyTorch writes neither")
    name, extra = struct.unpack_from("<HH", mapped, info.header_offset + 26)
    start = info.header_offset + 30 + name + extra
    if info.file_size != info.compress_size or start + info.file_size > len(mapped):
        raise ValueError(f"{info.filename} reaches beyond the end: the file is cut off")
    return memoryview(mapped)[start : start + info.file_size]


def _in_a_row(mapped: mmap.mmap) -> tuple[Any, Outside]:
    """The object and its storages, one after the other."""
    stream: Any = mapped
    if read_pickle(stream).value != MAGIC:
        raise ValueError("a pickle, but not of PyTorch")
    if read_pickle(stream).value != 1001:
        raise ValueError("a checkpoint of a version of PyTorch that is unknown here")
    read_pickle(stream)  # sizes of C's types on that machine
    tree, persistent = read_pickle(stream)
    keys = read_pickle(stream).value
    known = [storage_of(identity) for identity in persistent if identity[:1] == ("storage",)]
    widths = {storage.key: storage.dtype.itemsize for storage in known}
    places: dict[str, slice] = {}
    start = mapped.tell()
    for key in keys:
        (count,) = struct.unpack_from("<q", mapped, start)
        stop = start + 8 + count * widths.get(key, 1)
        if count < 0 or key not in widths or stop > len(mapped):
            raise ValueError(f"storage {key} is damaged: the file is cut off")
        places[key] = slice(start + 8, stop)
        start = stop

    def read(storage: Storage) -> memoryview:
        if storage.key not in places:
            raise ValueError(f"storage {storage.key} is missing")
        return _part(memoryview(mapped)[places[storage.key]], storage)

    return tree, Outside(read, len(mapped))


def _part(data: memoryview, storage: Storage) -> memoryview:
    """Of a storage's bytes those that are meant."""
    width = storage.dtype.itemsize
    part = data[storage.skipped * width : (storage.skipped + storage.count) * width]
    if len(part) < storage.count * width:
        raise ValueError(f"storage {storage.key} has fewer than its {storage.count} numbers")
    return part
