"""Nested dicts of arrays on disk: safetensors files, written whole or not at all.

Names are flat in the file, such as ``network.blocks.0.conv.linear.kernel``. Arrays may be stored in
half precision; they come back as float32, which is what is computed with.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from gmsdi_jax.errors import OutputError, UnavailableError
from gmsdi_jax.types import Params

WEIGHTS = "model.safetensors"


def save_folder(
    folder: Path,
    config: Mapping[str, Any],
    params: Params,
    dtype: str = "float32",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes ``config.json`` and the weights, the weights last and all at once.

    Raises:
        OutputError: the folder cannot be written.
    """
    write_config(folder, config)
    save_arrays(folder / WEIGHTS, params, dtype, metadata)


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Writes ``config.json``, whole or not at all.

    Raises:
        OutputError: the folder cannot be written.
    """
    path = folder / "config.json"
    partial = path.with_name(".config.json.partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(config, indent=2) + "\n")
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{folder}: cannot write the model ({error.strerror})") from error


def save_arrays(
    path: Path,
    params: Params,
    dtype: str = "float32",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes the arrays under a temporary name and renames the file once it is whole.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flat = {
            name: np.asarray(leaf, jnp.dtype(dtype), order="C")
            for name, leaf in flatten(params).items()
        }
        temporary = path.with_name(path.name + ".part")
        save_file(flat, temporary, dict(metadata or {}))
        temporary.rename(path)
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: cannot write the weights ({why})") from error


def load_arrays(path: Path, shapes: Params | None = None) -> Params:
    """The arrays of a file, float32, nested.

    Args:
        path: a safetensors file.
        shapes: where given, the names and shapes that the arrays must have.

    Raises:
        UnavailableError: the file is missing or damaged, or names or shapes differ (the first five
            differences are named).
    """
    try:
        flat = load_file(path)
    except FileNotFoundError:
        raise UnavailableError(f"{path}: missing; a model is this file and config.json") from None
    except (SafetensorError, OSError) as error:
        raise UnavailableError(f"{path}: damaged or unreadable ({error})") from error
    if shapes is not None:
        found = differences(flat, {name: leaf.shape for name, leaf in flatten(shapes).items()})
        if found:
            raise UnavailableError(f"{path}: does not fit its config.json: {found}")
    return unflatten({k: jnp.asarray(v, jnp.float32) for k, v in flat.items()})


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself; empty where it says nothing.

    Raises:
        UnavailableError: the file is missing or damaged.
    """
    try:
        with safe_open(path, "numpy") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UnavailableError(f"{path}: damaged or unreadable ({error})") from error


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flatten(params: Params) -> dict[str, jax.Array]:
    """A nested dict as one level, keys joined by dots."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {".".join(str(part.key) for part in path): leaf for path, leaf in leaves}  # type: ignore


def unflatten(flat: Mapping[str, jax.Array | np.ndarray]) -> Params:
    """The inverse of `flatten`; keys made of digits are list indices."""
    nested: Params = {}
    for name, leaf in flat.items():
        *parts, last = (int(part) if part.isdigit() else part for part in name.split("."))
        place = nested
        for part in parts:
            place = place.setdefault(part, {})  # type: ignore[arg-type]
        place[last] = leaf  # type: ignore[index]
    return nested


def differences(flat: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int, ...]]) -> str:
    """How the arrays' names and shapes differ from those wanted: the first five, or nothing."""
    problems = [f"{name} is missing" for name in sorted(wanted.keys() - flat.keys())]
    problems += [f"{name} is unknown" for name in sorted(flat.keys() - wanted.keys())]
    problems += [
        f"{name} has shape {flat[name].shape}, not {wanted[name]}"
        for name in sorted(wanted.keys() & flat.keys())
        if flat[name].shape != wanted[name]
    ]
    more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
    return "; ".join(problems[:5]) + more
