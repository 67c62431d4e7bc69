"""``gmsdi generate`` and ``gmsdi accompany``: stems from their names, alone or to given ones."""

import json as json_format
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, UseAppendAction, arg

from gmsdi_jax.build import Model
from gmsdi_jax.cli.folders import without_leftovers
from gmsdi_jax.cli.model import chosen_model, describe
from gmsdi_jax.cli.options import (
    AudioFormat,
    CompileFor,
    EncoderFolder,
    ModelFolder,
    NegativePrompts,
    Out,
    Quiet,
    Stems,
    negatives_of,
    parse,
    refuse_unheard,
)
from gmsdi_jax.config import read_model_config
from gmsdi_jax.console import Console
from gmsdi_jax.distributed import pod
from gmsdi_jax.errors import ConfigError, OutputError
from gmsdi_jax.pipeline import GMSDI, GenerationConfig, generation_ahead
from gmsdi_jax.pipeline import Stems as Result
from gmsdi_jax.pipeline.result import file_name


@dataclass(frozen=True, kw_only=True)
class _Draw:
    """What both commands take."""

    stems: Stems = ()
    """A stem to draw, as in -s Bass -s Piano."""
    model: ModelFolder = None
    """Folder of a model, or owner/name on the Hugging Face hub; by default the one that ships."""
    encoder: EncoderFolder = None
    """Folder of the model's frozen encoder, for prompts of any words."""
    negative: NegativePrompts = ()
    """A prompt that guidance points away from instead of the learned null, of all stems, or of one,
    as in --negative "Bass=Drums, Guitar, Piano"; for guidance other than 1."""
    out: Out = Path("generated")
    """Where results go."""
    seed: int = 0
    """Of all noise: the same seed draws the same stems."""
    format: AudioFormat = "wav"
    """Of the results."""
    json: bool = False
    """Print what gmsdi.json holds, as one line, instead of the folder."""
    quiet: Quiet = False
    """Say nothing but errors."""
    settings: OmitArgPrefixes[GenerationConfig] = field(default_factory=GenerationConfig)
    """The sampler and the coupling."""

    def __post_init__(self):
        """Refuses an empty wish, and one that nothing hears."""
        if not self.stems:
            raise ConfigError("name at least one stem to draw, as in -s Bass -s Piano")
        refuse_unheard(self.negative, self.settings.guidance)


@dataclass(frozen=True, kw_only=True)
class Generate(_Draw):
    """Draw stems that play together, from their names alone (total generation).

    Writes OUT/MODEL/SEED-STEMS/mix.wav, every stem and gmsdi.json, and prints the folder.
    """

    seconds: float = 6.0
    """Length, at most 1200."""
    compile_for: CompileFor = None
    """Draw nothing: compile for a TPU that need not be here, such as v5e:4x4, and print what one
    chip of it needs. Of the model only config.json is needed."""


@dataclass(frozen=True, kw_only=True)
class Accompany(_Draw):
    """Draw stems that go with given ones (partial generation).

    Writes OUT/MODEL/SEED-STEMS/mix.wav, every stem (the given ones too) and gmsdi.json, and prints
    the folder.
    """

    known: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="STEM=FILE")] = ()
    """A given stem, as in --known Drums=drums.wav."""
    seconds: float | None = None
    """Length, at most 1200; by default that of the longest given stem."""

    def __post_init__(self):
        """Refuses what is not STEM=FILE."""
        super().__post_init__()
        if not self.known:
            raise ConfigError("name at least one given stem, as in --known Drums=drums.wav")
        for text in self.known:
            if not all(text.partition("=")):
                raise ConfigError(f"--known {text}: write STEM=FILE, as in Drums=drums.wav")
        if len(self.files) < len(self.known):
            raise ConfigError("--known names a stem twice: give each stem one file")

    @property
    def files(self) -> dict[str, Path]:
        """The given stems by name."""
        return {stem: Path(file) for stem, _, file in (text.partition("=") for text in self.known)}


def generate(arguments: Sequence[str], console: Console) -> int:
    """Runs ``generate`` and returns its exit code."""
    options = parse(Generate, "generate", arguments)
    if options.compile_for:
        return _generate_ahead(options, console)
    model = _start(options, console)
    with _new_folder(options, model.name, options.stems) as folder:
        result = model.generate(
            options.stems,
            options.seconds,
            options.settings,
            seed=options.seed,
            **negatives_of(options.negative),
        )
        _finish(options, result, folder, console)
    return 0


def _generate_ahead(options: Generate, console: Console) -> int:
    """What drawing needs of a TPU; returns the exit code."""
    console.quiet = options.quiet
    model = Model(read_model_config(chosen_model(options.model)))
    target = pod(options.compile_for or "")
    console.say(f"compiling for {target.name}; nothing is drawn ...")
    lines = generation_ahead(model, options.stems, options.seconds, options.settings, target)
    print("\n".join(lines), flush=True)
    return 0


def accompany(arguments: Sequence[str], console: Console) -> int:
    """Runs ``accompany`` and returns its exit code."""
    options = parse(Accompany, "accompany", arguments)
    model = _start(options, console)
    with _new_folder(options, model.name, [*options.files, *options.stems]) as folder:
        result = model.accompany(
            dict(options.files),
            options.stems,
            options.settings,
            seconds=options.seconds,
            seed=options.seed,
            **negatives_of(options.negative),
        )
        _finish(options, result, folder, console)
    return 0


def _start(options: _Draw, console: Console) -> GMSDI:
    console.quiet = options.quiet
    model = GMSDI.from_pretrained(options.model or chosen_model(None), encoder=options.encoder)
    console.say(describe(model))
    console.say(f"compiling, then drawing {', '.join(options.stems)} ...")
    return model


@contextmanager
def _new_folder(options: _Draw, model: str, stems: Sequence[str]) -> Iterator[Path]:
    """A folder that did not exist, named by seed and stems; gone again if drawing fails."""
    name = "-".join([str(options.seed), *map(file_name, stems)])
    number, folder = 1, options.out / model / name
    while folder.exists():
        number += 1
        folder = folder.with_name(f"{name}-{number}")
    with without_leftovers(folder):
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise OutputError(
                f"{folder}: cannot be made ({error.strerror}): choose another -o"
            ) from error
        yield folder


def _finish(options: _Draw, result: Result, folder: Path, console: Console) -> None:
    result.save(folder, options.format)
    info = result.info
    console.say(
        f"{info['seconds']:.1f} s drawn in {info['computed_in_seconds']:.1f} s, "
        f"{info['evaluations_per_stem']} evaluations per stem"
    )
    line = json_format.dumps({"folder": str(folder), **info}) if options.json else folder
    print(line, flush=True)
