"""A model on disk: ``config.json`` and ``model.safetensors`` in one folder.

Weights are the EMA, under flat names such as ``network.blocks.0.conv.linear.kernel``. They may be
stored in half precision; they are computed with in float32.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from gmsdi_jax.config import FORMAT, ModelConfig, read_model_config, to_json
from gmsdi_jax.errors import OutputError, UnavailableError
from gmsdi_jax.types import Params


def save_model(folder: Path, config: ModelConfig, params: Params, dtype: str = "float32") -> None:
    """Writes the configuration and the weights, the weights last and all at once.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"format": FORMAT, **to_json(config)}, indent=2)
        (folder / "config.json").write_text(text + "\n")
        flat = {k: np.asarray(v, dtype=dtype) for k, v in flatten(params).items()}
        temporary = folder / "model.safetensors.part"
        save_file(flat, temporary)
        temporary.rename(folder / "model.safetensors")
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise OutputError(f"{folder}: cannot write the model ({why})") from error


def load_model(folder: Path, shapes: Params | None = None) -> tuple[ModelConfig, Params]:
    """The configuration and the float32 weights in `folder`.

    Args:
        folder: holds ``config.json`` and ``model.safetensors``.
        shapes: where given, the names and shapes that the weights must have.

    Raises:
        UnavailableError: a file is missing or damaged, or names or shapes differ (the first five
            differences are named).
        ConfigError: ``config.json`` is not valid.
    """
    folder = Path(folder)
    config = read_model_config(folder)
    path = folder / "model.safetensors"
    try:
        flat = load_file(path)
    except FileNotFoundError:
        raise UnavailableError(f"{path}: missing; a model is this file and config.json") from None
    except (SafetensorError, OSError) as error:
        raise UnavailableError(f"{path}: damaged or unreadable ({error})") from error
    if shapes is not None:
        _check(path, flat, {name: leaf.shape for name, leaf in flatten(shapes).items()})
    return config, unflatten({k: jnp.asarray(v, jnp.float32) for k, v in flat.items()})


def flatten(params: Params) -> dict[str, jax.Array]:
    """A nested dict as one level, keys joined by dots."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {".".join(str(part.key) for part in path): leaf for path, leaf in leaves}  # type: ignore


def unflatten(flat: dict[str, jax.Array]) -> Params:
    """The inverse of `flatten`; keys made of digits are list indices."""
    nested: Params = {}
    for name, leaf in flat.items():
        *parts, last = (int(part) if part.isdigit() else part for part in name.split("."))
        place = nested
        for part in parts:
            place = place.setdefault(part, {})  # type: ignore[arg-type]
        place[last] = leaf  # type: ignore[index]
    return nested


def _check(path: Path, flat: dict[str, np.ndarray], wanted: dict[str, tuple[int, ...]]) -> None:
    problems = [f"{name} is missing" for name in sorted(wanted.keys() - flat.keys())]
    problems += [f"{name} is unknown" for name in sorted(flat.keys() - wanted.keys())]
    problems += [
        f"{name} has shape {flat[name].shape}, not {wanted[name]}"
        for name in sorted(wanted.keys() & flat.keys())
        if flat[name].shape != wanted[name]
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise UnavailableError(
            f"{path}: does not fit its config.json: {'; '.join(problems[:5])}{more}"
        )
