"""Files of weights of whatever kind: told apart by how they begin, read without their makers.

Arrays come as views of the file where that is possible, in the file's own types. A folder is one of
Hugging Face's: ``config.json`` and ``model.safetensors`` or ``pytorch_model.bin``, perhaps in
several files with an index.

Sources: the safetensors format (huggingface.co/docs/safetensors); TensorFlow's checkpoints are read
by TensorFlow itself, where it is installed.
"""

import json
import mmap
import re
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from gmsdi_jax.convert.checkpoints import is_checkpoint, read_checkpoint
from gmsdi_jax.convert.names import Arrays
from gmsdi_jax.convert.places import State, below
from gmsdi_jax.errors import ConfigError, UnavailableError

SAFETENSORS = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
LONGEST_HEADER = 100_000_000
"""Bytes; the safetensors library has the same bound."""
FOLDER = ("model.safetensors", "model.safetensors.index.json")
FOLDER += ("pytorch_model.bin", "pytorch_model.bin.index.json")
"""Where a folder's weights are looked for, in this order."""
TABLE = bytes.fromhex("57fb808b247547db")
"""How a table of TensorFlow ends: an index, or a whole checkpoint of its first version."""
NO_WEIGHTS = {
    b"version https://git-lfs": "a Git LFS pointer, not the weights: run git lfs pull",
    b"<": "a web page, not weights: the download did not go through",
    b"\x89HDF": "an HDF5 file; save the weights as safetensors",
    b"\x1f\x8b": "compressed: unpack it and name the file of weights in it",
    b"\xfd7zXZ": "compressed: unpack it and name the file of weights in it",
}
"""What files begin with that are often taken for weights."""


class Weights(NamedTuple):
    """The weights of a file or folder, and what it says beside them."""

    arrays: Arrays
    told: dict[str, Any]
    """Settings of the network: a ``config.json``'s, or a checkpoint's own."""
    others: list[str]
    """Keys of further weights in the file."""
    files: list[Path]
    """All that was read."""


def read_weights(source: Path, key: str | None = None) -> Weights:
    """The weights in a file, or in a folder of Hugging Face's.

    Args:
        source: a checkpoint of PyTorch or TensorFlow, a safetensors file, or a folder.
        key: where in the file the weights are, or what their names start with.

    Raises:
        UnavailableError: there is none, or it is damaged, or no kind of weights.
        ConfigError: there are no weights below `key`, or it takes a key to choose.
    """
    try:
        if source.is_dir() or source.name.endswith(".index.json"):
            return _folder(source, key)
        if Path(f"{source}.index").exists():
            source = Path(f"{source}.index")
        state = _file(source, key)
        told = state.told or (_config(source.parent) if source.name in FOLDER else {})
        return Weights(state.arrays, told, state.others, _parts(source))
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    except FileNotFoundError as error:
        raise UnavailableError(f"{error.filename}: no such file") from None
    except OSError as error:
        raise UnavailableError(f"{source}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError) as error:
        raise UnavailableError(f"{source}: {error}") from error


def _file(path: Path, key: str | None) -> State:
    """The weights of one file."""
    with path.open("rb") as file:
        start = file.read(512)
        file.seek(max(0, file.seek(0, 2) - len(TABLE)))
        end = file.read()
    if not start:
        raise ValueError("empty")
    if _begins_as_safetensors(start):
        read = _safetensors
    elif is_checkpoint(start):
        return read_checkpoint(path, key)
    elif end == TABLE:
        read = _tensorflow
    else:
        raise ValueError(_no_weights(start))
    return State(read(path) if key is None else below(read(path), key), {}, [])


def _no_weights(start: bytes) -> str:
    """What a file is instead."""
    if start[257:262] == b"ustar":
        return "a tar archive: unpack it and name the file of weights in it"
    found = (what for beginning, what in NO_WEIGHTS.items() if start.startswith(beginning))
    return next(found, "neither a checkpoint of PyTorch or TensorFlow nor a safetensors file")


def _begins_as_safetensors(start: bytes) -> bool:
    """Eight bytes of a length, and JSON."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= LONGEST_HEADER


def _safetensors(path: Path) -> Arrays:
    """A length, a JSON header of types, shapes and offsets, and the numbers."""
    with path.open("rb") as file:
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    length = int.from_bytes(mapped[:8], "little")
    if length + 8 > len(mapped):
        raise ValueError("cut off within its header")
    try:
        header = json.loads(bytes(mapped[8 : 8 + length]))
        numbers = mapped[8 + length :]
        return {name: _view(numbers, **entry) for name, entry in header.items() if name[:2] != "__"}
    except (TypeError, RecursionError, json.JSONDecodeError) as error:
        raise ValueError(f"not a valid safetensors file ({error})") from error


def _view(numbers: memoryview, dtype: str, shape: list[int], data_offsets: list[int]) -> np.ndarray:
    if dtype not in SAFETENSORS:
        raise ValueError(f"numbers of type {dtype} are not read here")
    start, stop = data_offsets
    if not 0 <= start <= stop <= len(numbers):
        raise ValueError("its header speaks of more than there is: the file is cut off")
    return np.frombuffer(numbers[start:stop], SAFETENSORS[dtype]).reshape(shape)


def _tensorflow(path: Path) -> Arrays:
    """All variables of a checkpoint; `path` is its index, or all of it in the first version."""
    try:
        import tensorflow as tf  # type: ignore[reportMissingImports]
    except ImportError:
        raise UnavailableError(
            f"{path}: a checkpoint of TensorFlow, which reads it: pip install tensorflow-cpu"
        ) from None
    try:
        reader = tf.train.load_checkpoint(str(path).removesuffix(".index"))
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise ValueError(f"damaged, says TensorFlow ({error})") from error


def _folder(source: Path, key: str | None) -> Weights:
    """The weights in a folder of Hugging Face's, or of the index in one."""
    folder = source if source.is_dir() else source.parent
    found = [folder / name for name in FOLDER if (folder / name).exists()]
    if not found:
        raise ValueError(f"no weights here: name a file, or a folder with {FOLDER[0]}")
    path = found[0] if source.is_dir() else source
    files = _shards(path) if path.name.endswith(".index.json") else [path]
    states = [_file(file, None) for file in files]
    arrays = {name: array for state in states for name, array in state.arrays.items()}
    arrays = arrays if key is None else below(arrays, key)
    return Weights(arrays, _config(folder), [], files)


def _shards(index: Path) -> list[Path]:
    """The files that an index names; they lie beside it."""
    names = sorted(set(_json(index).get("weight_map", {}).values()))
    if not names or not all(re.fullmatch(r"[\w.-]+", name) for name in names):
        raise ValueError(f"{index.name} is no valid index of files beside it")
    return [index.parent / name for name in names]


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    return _json(path) if path.exists() else {}


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} is not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    return values


def _parts(source: Path) -> list[Path]:
    """A file, and where it is an index of TensorFlow's, the files of numbers."""
    start = f"{source.stem}.data-"
    numbers = [path for path in source.parent.iterdir() if path.name.startswith(start)]
    return [source, *sorted(numbers)] if source.suffix == ".index" else [source]
