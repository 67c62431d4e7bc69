"""From our arrays to a file that PyTorch loads, under the names that its modules have.

``torch.load(FILE, weights_only=True)`` reads the ``.pt`` file. It takes no PyTorch to write one: it
is a zip archive with one member per array and a pickle that says how to put them together
(`gmsdi_jax.convert.checkpoints` reads the same). The pickle is written by hand, because Python's
pickler would import PyTorch to check its names.

Source: ``torch.serialization``; the opcodes are those of Python's `pickletools`.
"""

import math
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from gmsdi_jax.arrays import save_arrays
from gmsdi_jax.convert.format import Format
from gmsdi_jax.convert.names import Arrays, to_theirs
from gmsdi_jax.convert.tensors import DTYPES
from gmsdi_jax.errors import ConfigError, OutputError

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")


def published(arrays: Mapping[str, np.ndarray], kind: Format, config: Any) -> Arrays:
    """Our arrays under the names of the published network, without prefix.

    Raises:
        ConfigError: the format has no name for one of them.
    """
    try:
        return to_theirs(arrays, kind.rules(config))
    except KeyError as error:
        raise ConfigError(f"{kind.name}: {error.args[0]}") from error


def write_state(path: Path, arrays: Arrays) -> None:
    """Writes a state dict, as the suffix says: ``.safetensors``, or a checkpoint of PyTorch.

    Raises:
        ConfigError: the suffix is none of `SUFFIXES`.
        OutputError: the file cannot be written.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path}: name a file that ends in {', '.join(SUFFIXES)}")
    if path.suffix == ".safetensors":
        named: Any = arrays
        save_arrays(path, named, "float32", {"format": "pt"})  # what transformers asks for
        return
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for name, data in _members(arrays):
                archive.writestr(f"archive/{name}", data)
        temporary.rename(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _members(arrays: Arrays) -> Iterator[tuple[str, bytes]]:
    """Names and contents of an archive's members."""
    yield "data.pkl", _pickled(arrays)
    yield "byteorder", b"little"
    for number, array in enumerate(arrays.values()):
        yield f"data/{number}", array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    yield "version", b"3\n"


def _pickled(arrays: Arrays) -> bytes:
    """A dict of names and tensors."""
    pairs = (
        _word(name) + _tensor(str(number), array)
        for number, (name, array) in enumerate(arrays.items())
    )
    start = pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + pickle.MARK
    return start + b"".join(pairs) + pickle.SETITEMS + pickle.STOP


def _tensor(key: str, array: np.ndarray) -> bytes:
    """``_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)``."""
    kind = next(name for name, dtype in DTYPES.items() if dtype == array.dtype)
    storage = _tuple(
        _word("storage"),
        _global("torch", f"{kind}Storage"),
        _word(key),
        _word("cpu"),
        _number(array.size),
    )
    steps = [math.prod(array.shape[axis + 1 :]) for axis in range(array.ndim)]
    arguments = _tuple(
        storage + pickle.BINPERSID,
        _number(0),
        _tuple(*map(_number, array.shape)),
        _tuple(*map(_number, steps)),
        pickle.NEWFALSE,
        _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE,
    )
    return _global("torch._utils", "_rebuild_tensor_v2") + arguments + pickle.REDUCE


def _tuple(*values: bytes) -> bytes:
    return pickle.MARK + b"".join(values) + pickle.TUPLE


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _word(text: str) -> bytes:
    data = text.encode()
    return pickle.BINUNICODE + len(data).to_bytes(4, "little") + data


def _number(value: int) -> bytes:
    return pickle.LONG1 + b"\x08" + value.to_bytes(8, "little")
