"""``gmsdi convert`` and ``gmsdi export``: published weights to a folder of this library, and back.

A network of audio becomes a model for ``-m``, an encoder a folder for ``--encoder``; either is
written beside its place and moved there once it is whole.
"""

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from tyro.conf import Positional, arg

from gmsdi_jax.arrays import WEIGHTS, flatten, load_arrays, read_metadata, unflatten
from gmsdi_jax.cli.options import Out, Quiet, Stems, parse
from gmsdi_jax.config import ModelConfig, read_model_config
from gmsdi_jax.console import Console
from gmsdi_jax.convert import AdpConfig, Conversion, named, published, write_state
from gmsdi_jax.convert import convert as read
from gmsdi_jax.encoders import save_encoder
from gmsdi_jax.encoders.folder import KINDS, read_encoder_config
from gmsdi_jax.encoders.tokenizer import save_tokenizer
from gmsdi_jax.errors import ConfigError, OutputError, UnavailableError
from gmsdi_jax.models import T5TextConfig, UNet1dConfig, WithoutTextConfig
from gmsdi_jax.presets import msdm_joint, msdm_weak, paper_jamendo, paper_slakh
from gmsdi_jax.weights import save_model

Source = Annotated[Positional[Path], arg(metavar="SOURCE")]
Name = Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")]


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Convert published weights to a folder that this library reads; runs no code of theirs.

    Knows MSDM, audio-diffusion-pytorch 0.0.43 and 0.0.97, T5, CLAP and VGGish. Prints the folder.
    """

    source: Source
    """A checkpoint of PyTorch or TensorFlow, a safetensors file, or a folder of Hugging Face's."""
    out: Out
    """Where the folder goes."""
    format: Name = None
    """How the weights are published; by default recognised by their names."""
    key: Name = None
    """Where in the file the weights are, such as state_dict, or what their names start with."""
    stem: Stems = ()
    """What a network of audio was trained on, in the order of its channels, as in -s Bass."""
    tokenizer: Annotated[str | None, arg(metavar="FOLDER|ID", help_behavior_hint="")] = None
    """Of an encoder of words: a folder, or a repository's id on the Hugging Face hub, such as
    roberta-base for LAION's CLAP; by default the one beside the weights."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """How the numbers are stored; computed with as float32."""
    force: bool = False
    """Replace what is in the folder."""
    quiet: Quiet = False
    """Say nothing but errors."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """Export a folder's weights as a PyTorch state dict under the published names. Prints the file.

    Its names are the network's own, without the prefixes and copies that checkpoints have.
    """

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """A model's or an encoder's."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    """A .safetensors file, or .pt for torch.load."""
    format: Name = None
    """Whose names; by default those that the weights came with."""
    force: bool = False
    """Replace the file."""
    quiet: Quiet = False
    """Say nothing but errors."""


def convert(arguments: Sequence[str], console: Console) -> int:
    """Runs ``convert`` and returns its exit code."""
    options = parse(Convert, "convert", arguments)
    console.quiet = options.quiet
    beside = options.source if options.source.is_dir() else options.source.parent
    _check_free(options.out, beside, options.force)
    found = read(options.source, options.format, options.key)
    size = sum(array.size for array in found.arrays.values()) / 1e6
    console.say(
        f"{options.source}: {found.format.holds} ({found.format.name}), {size:.1f} million weights"
    )
    for note in [*found.notes, *_doubts(found)]:
        console.say(f"note: {note}")
    with _whole(options.out) as folder:
        if isinstance(found.config, AdpConfig):
            write_model(folder, found, options.stem, options.dtype)
        else:
            write_encoder(folder, found, options.dtype)
            add_tokenizer(folder, found, options.tokenizer, beside, console)
    print(options.out, flush=True)
    return 0


def write_model(folder: Path, found: Conversion, stems: Sequence[str], dtype: str) -> None:
    """A folder for ``-m``.

    Raises:
        ConfigError: the number of names does not fit the network's channels.
        UnavailableError: the network was trained for something that is not done here.
    """
    config = model_config(found.config, found.told, tuple(stems))
    save_model(folder, config, unflatten(found.arrays), dtype, found.provenance)


def _doubts(found: Conversion) -> Iterator[str]:
    """What the file does not tell of how a network of audio was trained, and is supposed here."""
    if not isinstance(found.config, AdpConfig) or found.format.name == "msdm":
        return
    if found.config.network.text_in == "transformer" and "diffusion_type" not in found.told:
        yield "0.0.97 trains with diffusion_type 'v' unless told otherwise; only 'k' works here"
    if "diffusion_sigma_data" not in found.told:
        yield "sigma_data is taken to be 0.2, as MSDM's; if it was another, change config.json"
    if found.told.get("diffusion_dynamic_threshold"):
        yield "trained with a dynamic threshold; here samples are clamped to [-1, 1]"


def model_config(config: AdpConfig, told: dict[str, Any], stems: tuple[str, ...]) -> ModelConfig:
    """The model around a published U-Net: the preset next to it, changed by what is known of it."""
    if told.get("diffusion_type", "k") != "k":
        raise UnavailableError(
            f"the network was trained with diffusion_type {told['diffusion_type']!r}; only 'k' "
            "(Karras et al. 2022) can be used here"
        )
    network = config.network
    if config.tokens is not None:
        preset = paper_jamendo() if config.tokens == 1 else paper_slakh()
        text: dict[str, Any] = {"labels": stems} if stems else {}
        if isinstance(preset.conditioner, T5TextConfig):
            text["tokens"] = config.tokens
        conditioner = dataclasses.replace(
            preset.conditioner, features=network.text_features, **text
        )
    else:
        preset = msdm_joint() if network.audio_channels > 1 else msdm_weak()
        conditioner = WithoutTextConfig(labels=_channels(network, stems))
    return dataclasses.replace(
        preset,
        network=network,
        conditioner=conditioner,
        sigma_data=told.get("diffusion_sigma_data", preset.sigma_data),
        window=preset.window - preset.window % network.multiple,
    )


def _channels(network: UNet1dConfig, stems: tuple[str, ...]) -> tuple[str, ...]:
    """One name per channel."""
    count = network.audio_channels
    stems = stems or (msdm_joint().labels if count == 4 else ())
    if len(stems) != count:
        raise ConfigError(
            f"the network has {count} channels and {len(stems)} names: name what it was trained "
            "on, one -s STEM per channel in their order"
        )
    return stems


def write_encoder(folder: Path, found: Conversion, dtype: str) -> None:
    """A folder for ``--encoder``, still without a tokenizer."""
    save_encoder(folder, found.config, unflatten(found.arrays), dtype, found.provenance)


def add_tokenizer(
    folder: Path, found: Conversion, named: str | None, beside: Path, console: Console
) -> None:
    """The tokenizer that is named, or the one that lies in `beside`; without one, a note.

    Raises:
        ConfigError: one is named for an encoder that reads no words.
        UnavailableError: the one that is named cannot be read.
    """
    if type(found.config) is KINDS["vggish"]:
        if named is not None:
            raise ConfigError("--tokenizer is for encoders of words: VGGish hears audio only")
    elif named is not None:
        save_tokenizer(named, folder)
    elif (beside / "tokenizer.json").is_file():
        shutil.copyfile(beside / "tokenizer.json", folder / "tokenizer.json")
    elif any((beside / name).is_file() for name in ("vocab.json", "spiece.model")):
        save_tokenizer(beside, folder)
    else:
        console.say("note: no tokenizer beside the weights: name one with --tokenizer, for words")


def export(arguments: Sequence[str], console: Console) -> int:
    """Runs ``export`` and returns its exit code."""
    options = parse(Export, "export", arguments)
    console.quiet = options.quiet
    weights = options.folder / WEIGHTS
    if options.out.exists() and not options.force:
        raise ConfigError(f"{options.out}: is there already; --force replaces it")
    config = _config(options.folder)
    name = options.format or read_metadata(weights).get("published_as")
    if name is None:
        raise ConfigError(f"{weights}: does not say where it came from: add --format, such as "
                          "adp-0.0.43")  # fmt: skip
    kind = named(name)
    try:
        shapes = kind.shapes(config)
    except AttributeError:
        raise ConfigError(
            f"{options.folder}: holds no {kind.holds}: take another --format"
        ) from None
    arrays = {name: np.asarray(a) for name, a in flatten(load_arrays(weights, shapes)).items()}
    state = published(arrays, kind, config)
    write_state(options.out, state)
    console.say(f"{len(state)} arrays under the names of {kind.name}")
    print(options.out, flush=True)
    return 0


def _config(folder: Path) -> Any:
    """What the format's table of names takes."""
    try:
        return read_encoder_config(folder)
    except ConfigError:
        config = read_model_config(folder)
    if not isinstance(config.network, UNet1dConfig):
        raise ConfigError(f"{folder}: its network is published nowhere else: there are no names")
    return AdpConfig(network=config.network, tokens=getattr(config.conditioner, "tokens", None))


def _check_free(out: Path, beside: Path, force: bool) -> None:
    """Refuses to write over anything unasked, and over the source at all."""
    if out.exists() and out.samefile(beside):
        raise ConfigError(f"{out}: the published weights are here: take another folder")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file: name a folder")
    if out.exists() and any(out.iterdir()) and not force:
        raise ConfigError(f"{out}: is not empty: --force replaces what is in it")


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A folder to be filled, which becomes `out` at the end; an error leaves nothing behind."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as place:
            folder = Path(place, out.name)
            folder.mkdir()
            yield folder
            if not out.exists():
                folder.rename(out)
                return
            (out / WEIGHTS).unlink(missing_ok=True)  # no weights are better than wrong ones
            for path in sorted(folder.iterdir(), key=lambda path: path.name == WEIGHTS):
                os.replace(path, out / path.name)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror})") from error
