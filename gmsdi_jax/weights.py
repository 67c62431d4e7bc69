"""A model on disk: ``config.json`` and ``model.safetensors``, the averaged weights, in a folder."""

from collections.abc import Mapping
from pathlib import Path

from gmsdi_jax.arrays import WEIGHTS, load_arrays, save_folder, write_config
from gmsdi_jax.config import FORMAT, ModelConfig, read_model_config, to_json
from gmsdi_jax.types import Params


def save_model(
    folder: Path,
    config: ModelConfig,
    params: Params,
    dtype: str = "float32",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes the configuration and the weights, the weights last and all at once.

    Raises:
        OutputError: the folder cannot be written.
    """
    save_folder(folder, {"format": FORMAT, **to_json(config)}, params, dtype, metadata)


def save_config(folder: Path, config: ModelConfig) -> None:
    """Writes the configuration of a model that is there, whole or not at all.

    Raises:
        OutputError: the folder cannot be written.
    """
    write_config(folder, {"format": FORMAT, **to_json(config)})


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
    return config, load_arrays(folder / WEIGHTS, shapes)
