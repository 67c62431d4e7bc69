"""``gmsdi models`` and ``gmsdi env``: what is here."""

import json as json_format
import math
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import jax
from tyro.conf import Positional, arg

from gmsdi_jax import __version__
from gmsdi_jax.build import Model
from gmsdi_jax.cli.model import default_model
from gmsdi_jax.cli.options import parse
from gmsdi_jax.config import ModelConfig, read_model_config
from gmsdi_jax.console import Console
from gmsdi_jax.errors import UnavailableError
from gmsdi_jax.presets import PRESETS

PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "grain",
    "numpy",
    "soundfile",
    "soxr",
)


@dataclass(frozen=True, kw_only=True)
class Models:
    """Print what models are made for: stems, sample rate, window, size."""

    folders: Annotated[Positional[tuple[Path, ...]], arg(metavar="FOLDER")] = ()
    """Folders of models, or folders that hold some; by default the one that ships."""
    presets: bool = False
    """Print the published models that can be built and trained here, instead of those on disk."""
    json: bool = False
    """Print one JSON object per line."""


@dataclass(frozen=True, kw_only=True)
class Env:
    """Print versions and devices."""


def models(arguments: Sequence[str], console: Console) -> int:
    """Runs ``models`` and returns its exit code."""
    options = parse(Models, "models", arguments)
    for facts in _presets() if options.presets else _on_disk(options.folders):
        print(json_format.dumps(facts) if options.json else _row(facts), flush=True)
    return 0


def env(arguments: Sequence[str], console: Console) -> int:
    """Runs ``env`` and returns its exit code."""
    parse(Env, "env", arguments)
    print(f"gmsdi_jax {__version__}")
    print(f"python {platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        print(f"{package} {version(package)}")
    for device in jax.devices():
        print(f"device {device.id}: {device.device_kind} ({device.platform})")
    return 0


def _presets() -> Iterator[dict[str, Any]]:
    """What there is to say of each preset."""
    for name, made in PRESETS.items():
        yield {"name": name, **_facts(made())}


def _on_disk(folders: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """What there is to say of each model in the folders, or of the one that ships."""
    found = [model for folder in folders or [default_model()] for model in _models(folder)]
    for folder in found:
        config, weights = read_model_config(folder), folder / "model.safetensors"
        if not weights.exists():
            raise UnavailableError(f"{weights}: missing; a model is this file and config.json")
        size = weights.stat().st_size
        place = {"name": folder.resolve().name, "folder": str(folder), "bytes": size}
        yield {**place, **_facts(config)}


def _models(folder: Path) -> list[Path]:
    """`folder` if it is a model, else the models in it."""
    if (folder / "config.json").exists():
        return [folder]
    found = sorted(path.parent for path in folder.glob("*/config.json"))
    if not found:
        raise UnavailableError(
            f"{folder}: no model here; a model is a folder with config.json and model.safetensors"
        )
    return found


def _facts(config: ModelConfig) -> dict[str, Any]:
    leaves = jax.tree.leaves(Model(config).shapes)
    return {
        "labels": list(config.labels),
        "sample_rate": config.sample_rate,
        "window": config.window,
        "network": type(config.network).__name__.removesuffix("Config"),
        "text": type(config.conditioner).__name__.removesuffix("Config"),
        "parameters": sum(math.prod(leaf.shape) for leaf in leaves),
    }


def _row(facts: dict[str, Any]) -> str:
    place = f", {facts['bytes'] / 1e6:.1f} MB ({facts['folder']})" if "folder" in facts else ""
    return (
        f"{facts['name']}: {', '.join(facts['labels']) or 'any words'}; {facts['sample_rate']} Hz, "
        f"windows of {facts['window'] / facts['sample_rate']:.2f} s; {facts['network']}, "
        f"{facts['parameters'] / 1e6:.2f} million parameters{place}"
    )
