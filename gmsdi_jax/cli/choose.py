"""``gmsdi choose``: constrained source and negative prompts of a model, on validation songs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import UseAppendAction, arg

from gmsdi_jax.cli.model import chosen_model, describe
from gmsdi_jax.cli.options import EncoderFolder, ModelFolder, Quiet, parse
from gmsdi_jax.config import ModelConfig, read_model_config
from gmsdi_jax.console import Console
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.pipeline import constrained_by_default
from gmsdi_jax.sweep.choose import (
    Choice,
    choose_constrained,
    choose_negatives,
    constrained_sweep,
    negatives_sweep,
)
from gmsdi_jax.sweep.jobs import Sources
from gmsdi_jax.weights import save_config


@dataclass(frozen=True, kw_only=True)
class ChooseOptions:
    """Search the constrained source and the negative prompts of a model, on validation songs.

    Every stem is tried as the one that the Separator leaves to be the rest; the other labels, one
    by one and together, as each stem's negative prompt in the Extractor. What is better for
    certain (95 % interval over songs) is printed and, with --write, kept in the model's
    config.json, which separate, evaluate and sweep then follow. Test songs are never read; the same
    command goes on where a stopped one was.
    """

    data: Path = Path("shards")
    """Prepared data: the folder above validation."""
    model: ModelFolder = None
    """Folder of a model; by default the one that ships."""
    encoder: EncoderFolder = None
    """Folder of the model's frozen encoder, for prompts of any words."""
    what: Annotated[UseAppendAction[tuple[Literal["constrained", "negatives"], ...]], arg()] = ()
    """What to search; both by default."""
    guidance: float = 1.5
    """Guidance scale of the search for negatives, which work through guidance alone."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Solver steps; 150 by default, as in the paper's lineage."""
    songs: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = 12
    """How many validation songs, from the first."""
    seconds: Annotated[float | None, arg(metavar="S", help_behavior_hint="")] = 24.0
    """How much of each."""
    seeds: int = 1
    """How many seeds, from 0 on."""
    store: Annotated[Path, arg(metavar="FOLDER")] = Path("runs/sweeps")
    """Where results are kept, beside those of sweeps."""
    write: bool = False
    """Write what was chosen into the model's config.json."""
    quiet: Quiet = False
    """Say nothing but errors."""

    def __post_init__(self) -> None:
        """Refuses amounts that are none."""
        for name in ("songs", "seconds", "seeds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"--{name} is {value}: take more than 0")

    @property
    def amounts(self) -> dict[str, Any]:
        """Of the search."""
        return {"songs": self.songs, "seconds": self.seconds, "seeds": self.seeds}


def choose(arguments: Sequence[str], console: Console) -> int:
    """Runs the command and returns its exit code."""
    options = parse(ChooseOptions, "choose", arguments)
    console.quiet = options.quiet
    folder = chosen_model(options.model)
    sources = Sources(options.store, options.data, folder, options.encoder)
    model = sources.model(None)
    if len(model.labels) < 2:
        raise ConfigError(f"{folder}: nothing to choose for a model that knows no set of stems")
    console.say(describe(model))
    what = options.what or ("constrained", "negatives")
    settings = {} if options.steps is None else {"steps": options.steps}
    config = read_model_config(folder)
    with console.progress("choose", "parts") as advance:
        run = {"advance": advance, "say": console.say}
        if "constrained" in what:
            sweep = constrained_sweep(
                model.labels, {**settings, "guidance": 1.0}, **options.amounts
            )
            default = constrained_by_default(model.labels) or model.labels[-1]
            choice = choose_constrained(sweep, sources, default, **run)
            print(_table(choice), end="\n\n", flush=True)
            best = choice.best.value
            config = replace(config, constrained=None if best == default else best)
        if "negatives" in what:
            guided = {**settings, "guidance": options.guidance}
            sweep = negatives_sweep(model.labels, guided, **options.amounts)
            choices = choose_negatives(sweep, sources, **run)
            print("\n\n".join(map(_table, choices.values())), end="\n\n", flush=True)
            config = replace(config, negatives=_told(choices))
    _keep(config, folder, write=options.write)
    return 0


def _told(choices: Mapping[str, Choice]) -> dict[str, str]:
    """The stems whose best negative prompt is not the learned null."""
    return {label: choice.best.value for label, choice in choices.items() if choice.best.value}


def _keep(config: ModelConfig, folder: Path, *, write: bool) -> None:
    """Prints the two entries of the configuration, and writes them where that is wanted."""
    chosen = {"constrained": config.constrained, "negatives": config.negatives}
    print(json.dumps(chosen), flush=True)
    if write:
        save_config(folder, config)


def _table(choice: Choice) -> str:
    """A line per candidate in Markdown, SI-SDR improvement in dB; the chosen one is marked."""
    lines = [
        f"| {choice.setting} | SI-SDRi, dB | gain over the first, 95 % |  |",
        "|---|---:|---|---|",
    ]
    for some in choice.candidates:
        gain = "-" if some.gain is None else f"{some.gain.low:+.2f} to {some.gain.high:+.2f}"
        mark = "chosen" if some is choice.best else ""
        lines.append(f"| {some.name} | {some.score:.2f} | {gain} | {mark} |")
    return "\n".join(lines)
