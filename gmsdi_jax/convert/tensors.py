"""What a checkpoint's pickle says about arrays: where each lies, and which belong to the weights.

A tensor of PyTorch is a view: a type, an offset, sizes and strides into a storage, which several
tensors may share and which lies outside the pickle. It becomes a NumPy view of the file's bytes, so
nothing is read before somebody looks, and an optimizer's state never is. NumPy checks that a view
stays within its bytes.

Source: ``torch._utils._rebuild_tensor_v2`` and its neighbours, and NumPy's ``__reduce__``.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from gmsdi_jax.convert.pickles import Foreign

DTYPES = {
    "Float": np.dtype(np.float32),
    "Double": np.dtype(np.float64),
    "Half": np.dtype(np.float16),
    "BFloat16": np.dtype(ml_dtypes.bfloat16),
    "Long": np.dtype(np.int64),
    "Int": np.dtype(np.int32),
    "Short": np.dtype(np.int16),
    "Char": np.dtype(np.int8),
    "Byte": np.dtype(np.uint8),
    "Bool": np.dtype(np.bool_),
}
"""By the name of the storage's class, as in ``torch.FloatStorage``."""


class Storage(NamedTuple):
    """Where numbers lie outside the pickle."""

    key: str
    dtype: np.dtype
    count: int
    """Numbers."""
    skipped: int
    """Numbers of the storage before the first that this one, a view, shares with it."""


class Outside(NamedTuple):
    """The numbers that a pickle refers to."""

    read: Callable[[Storage], memoryview]
    """Gives the bytes of a storage."""
    limit: int
    """Bytes that an array may have, those of the file: one that repeats its numbers takes more
    memory than it took to store."""
    order: str = "<"
    """The order of bytes: ``<`` or ``>``."""


def storage_of(identity: Any) -> Storage:
    """What a persistent id says.

    Raises:
        ValueError: it is none of PyTorch's, or of a type without numbers, such as quantized ones.
    """
    match identity:
        case ("storage", Foreign(name=kind), str(key), _, int(count), *view):
            name = kind.rpartition(".")[2].removesuffix("Storage")
            dtype = np.dtype(np.uint8) if name == "Untyped" else DTYPES.get(name)
            if dtype is None:
                raise ValueError(f"numbers of type {kind} are not read here")
            # Of (key, offset, size): before 1.6, a storage could be a part of another.
            skipped, count = view[0][1:] if view and view[0] else (0, count)
            return Storage(key, dtype, *_counts(count, skipped))
    raise ValueError("not a valid checkpoint (what lies outside the pickle is no storage)")


def array_of(node: Any, outside: Outside) -> np.ndarray | None:
    """The array that a value of the pickle stands for; None if it stands for none.

    Raises:
        ValueError: it is damaged, or reaches beyond its storage.
    """
    match node:
        case Foreign(name=name, arguments=(data, *_)) if name in _PARAMETERS:
            return array_of(data, outside)
        case Foreign(name=name, arguments=(Foreign(name=call), _, inner, _)) if name in _SUBCLASSES:
            return array_of(Foreign(call, inner), outside)
        case Foreign(name=name, arguments=(Foreign(name="persistent") as place, *where)):
            return _tensor(name, place.arguments, where, outside) if name in _TENSORS else None
        case Foreign(name=name, state=(_, shape, dtype, fortran, data)) if name in _NUMPY:
            return _numpy(data, dtype, shape, "F" if fortran else "C")
        case Foreign(name=name, arguments=(data, dtype, shape, order)) if name in _BUFFERS:
            return _numpy(data, dtype, shape, order)
    return None


_TENSORS = {f"torch._utils._rebuild_tensor{version}" for version in ("", "_v2", "_v3")}
_PARAMETERS = {f"torch._utils._rebuild_parameter{more}" for more in ("", "_with_state")}
_SUBCLASSES = {"torch._tensor._rebuild_from_type_v2"}
_NUMPY = {f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")}
_BUFFERS = {f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")}
_SCALARS = {f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")}
_ARRAYS = _TENSORS | _PARAMETERS | _SUBCLASSES | _NUMPY | _BUFFERS


def _tensor(name: str, identity: Any, where: list[Any], outside: Outside) -> np.ndarray:
    """A view of its storage; `where` is offset, size, stride, two of no use here, and a type."""
    storage = storage_of(identity)
    dtype = _torch_dtype(where[5]) if name.endswith("_v3") else storage.dtype
    (offset,), size, stride = _counts(where[0]), _counts(*where[1]), _counts(*where[2])
    width = dtype.itemsize
    if math.prod(size) * width > outside.limit:
        raise ValueError(f"a tensor of sizes {size} is larger than the whole file")
    numbers = np.ndarray(
        size,
        f"{outside.order}u{width}",
        outside.read(storage),
        offset * width,
        [width * s for s in stride],
    )
    return numbers.astype(f"=u{width}", copy=False).view(dtype)


def _torch_dtype(node: Any) -> np.dtype:
    """Of a name such as ``torch.uint16``, which no class of storages has."""
    match node:
        case Foreign(name=str(name)) if re.fullmatch(r"torch\.u?int(16|32|64)", name):
            return np.dtype(name.removeprefix("torch."))
    raise ValueError(f"numbers of type {node!r} are not read here")


def _counts(*values: Any) -> tuple[int, ...]:
    """Sizes and offsets: integers that are not negative and fit a machine word."""
    for value in values:
        if not isinstance(value, int) or not 0 <= value < 2**48:
            raise ValueError("not a valid checkpoint (a size or an offset is no number of numbers)")
    return values


def _numpy(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """An array of numbers, in NumPy's own words."""
    if not isinstance(shape, tuple) or order not in ("C", "F"):
        raise ValueError("not a valid checkpoint (an array of NumPy has no shape)")
    return np.frombuffer(_bytes(data), _dtype(dtype)).reshape(_counts(*shape), order=order)


def _bytes(data: Any) -> bytes:
    """Bytes, or the text that stands for them where a pickle's protocol has none."""
    match data:
        case bytes() | bytearray():
            return bytes(data)
        case str(text) | Foreign(name="_codecs.encode", arguments=(str(text), "latin1")):
            return text.encode("latin-1")
        case Foreign(name="__builtin__.bytes" | "builtins.bytes", arguments=()):
            return b""
    raise ValueError("not a valid checkpoint (an array of NumPy holds no numbers)")


def _dtype(node: Any) -> np.dtype:
    """A plain type of numbers."""
    match node:
        case Foreign(name="numpy.dtype", arguments=(str(name), *_), state=(_, str(order), *_)):
            if name[:1] in "fiub" and name[1:].isdigit() and order in "<>|=":
                return np.dtype(order + name)
    raise ValueError("not a valid checkpoint (an array of NumPy is of no plain type)")


def entries_of(node: Any) -> Mapping[Any, Any] | None:
    """The entries of any kind of dict; None for what is none."""
    if isinstance(node, dict):
        return node
    if not isinstance(node, Foreign) or node.arguments is None:
        return None
    if node.entries or node.name == "collections.OrderedDict":
        match node.arguments:
            case (list(pairs),):  # as Python 2 wrote them
                return {pair[0]: pair[1] for pair in pairs if _is_pair(pair)}
        return node.entries
    return None


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)


def is_array(node: Any) -> bool:
    """Whether a value stands for an array."""
    return isinstance(node, Foreign) and node.arguments is not None and node.name in _ARRAYS


def plain(entries: Mapping[Any, Any]) -> dict[str, Any]:
    """The entries that are numbers, words, or short lists of those."""
    return dict(_plain_entries(entries))


def _plain_entries(entries: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in entries.items():
        match value:
            case Foreign(name=name, arguments=(dtype, data)) if name in _SCALARS:
                value = np.frombuffer(_bytes(data), _dtype(dtype))[0].item()
            case list() | tuple() if len(value) < 100:
                value = list(value)
        parts = value if isinstance(value, list) else [value]
        if isinstance(key, str) and all(isinstance(p, str | int | float | None) for p in parts):
            yield key, value
