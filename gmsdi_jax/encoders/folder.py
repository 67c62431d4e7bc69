"""An encoder on disk: ``config.json`` with kind and sizes, ``model.safetensors``, a tokenizer."""

import dataclasses
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gmsdi_jax.arrays import WEIGHTS, digest, load_arrays, save_folder
from gmsdi_jax.errors import ConfigError, UnavailableError
from gmsdi_jax.models import T5, Clap, ClapConfig, Pure, T5Config, Vggish, VggishConfig
from gmsdi_jax.types import Params

MODULES: dict[type, Any] = {T5Config: T5, ClapConfig: Clap, VggishConfig: Vggish}
KINDS: dict[str, type] = {"t5": T5Config, "clap": ClapConfig, "vggish": VggishConfig}
EncoderConfig = T5Config | ClapConfig | VggishConfig


class Encoder(NamedTuple):
    """A network whose weights were loaded, and what identifies them."""

    config: Any
    module: Pure
    params: Params
    digest: str
    folder: Path


def pure(config: EncoderConfig) -> Pure:
    """The module that a configuration describes."""
    made = MODULES[type(config)]
    return Pure(lambda rngs: made(config, rngs=rngs))


def save_encoder(
    folder: Path,
    config: EncoderConfig,
    params: Params,
    dtype: str = "float32",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes an encoder's configuration and weights, the weights last and all at once.

    Raises:
        OutputError: the folder cannot be written.
    """
    kind = next(kind for kind, made in KINDS.items() if type(config) is made)
    save_folder(folder, {"kind": kind, **dataclasses.asdict(config)}, params, dtype, metadata)


def load_encoder(folder: Path, kind: str) -> Encoder:
    """The encoder in a folder, which must be of the kind that is asked for.

    Raises:
        UnavailableError: a file is missing or damaged, or does not fit the configuration.
        ConfigError: ``config.json`` is not valid, or the encoder is of another kind.
    """
    config = read_encoder_config(folder)
    if not isinstance(config, KINDS[kind]):
        raise ConfigError(f"{folder}: holds {_named(config)}, where {kind} is needed")
    module = pure(config)
    params = load_arrays(folder / WEIGHTS, module.shapes)
    return Encoder(config, module, params, digest(folder / WEIGHTS), folder)


def read_encoder_config(folder: Path) -> Any:
    """The configuration in ``folder/config.json``.

    Raises:
        UnavailableError: there is none.
        ConfigError: it is not valid, or not of an encoder.
    """
    path = Path(folder) / "config.json"
    try:
        values = json.loads(path.read_text())
        return _made(KINDS[values.pop("kind")], values)
    except FileNotFoundError:
        raise UnavailableError(
            f"{folder}: no encoder here; make one with gmsdi convert WEIGHTS -o {folder}"
        ) from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: not valid JSON ({error})") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{path}: does not describe an encoder of this library ({error}); published weights "
            "become one with gmsdi convert"
        ) from error


def _made(config: type, values: Mapping[str, Any]) -> Any:
    """A configuration from JSON values: lists are tuples, objects are configurations."""
    types = typing.get_type_hints(config)

    def field(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return _made(types[name], value)
        return tuple(field("", part) for part in value) if isinstance(value, list) else value

    return config(**{name: field(name, value) for name, value in values.items()})


def _named(config: Any) -> str:
    return next(kind for kind, made in KINDS.items() if type(config) is made)
