"""``gmsdi evaluate``: the scorecard of some methods on prepared songs with stems."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from gmsdi_jax.cli.model import chosen_model, describe
from gmsdi_jax.cli.options import EncoderFolder, ModelFolder, Quiet, parse
from gmsdi_jax.console import Console
from gmsdi_jax.data import read_manifest
from gmsdi_jax.evaluate import STATIC, evaluate_split
from gmsdi_jax.methods import Method, SeparationConfig
from gmsdi_jax.pipeline import GMSDI


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Separate songs whose stems are known, and print a scorecard in Markdown."""

    data: Annotated[Path, arg(metavar="SPLIT")]
    """One split with stems of prepared data, such as shards/test."""
    model: ModelFolder = None
    """Folder of a model, or owner/name on the Hugging Face hub; by default the one that ships."""
    encoder: EncoderFolder = None
    """Folder of the model's frozen encoder, for prompts of any words."""
    methods: Annotated[tuple[Method, ...], arg(help_behavior_hint="")] = ()
    """The methods to compare; by default the model's own."""
    songs: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """How many songs, from the first; all by default."""
    seconds: Annotated[float | None, arg(metavar="S", help_behavior_hint="")] = None
    """How much of each song, from its start; all by default."""
    protocol: Literal["active", "msdm"] = "active"
    """Which windows count: those where a stem plays, or MSDM's rule."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Solver steps of all methods that take some; by default the model's own."""
    guidance: Annotated[float | None, arg(metavar="W", help_behavior_hint="")] = None
    """Guidance scale of all methods, 1 is off; by default the model's own."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="")] = None
    """Where the report goes, beside stdout."""
    quiet: Quiet = False
    """Say nothing but errors."""

    def configs(self, own: SeparationConfig) -> dict[str, SeparationConfig]:
        """The settings of each method: the model's own but for what was asked."""
        asked = {"steps": self.steps, "guidance": self.guidance}
        changes = {name: value for name, value in asked.items() if value is not None}
        methods = self.methods or (own.method,)
        return {method: replace(own, method=method, **changes) for method in methods}


def evaluate(arguments: Sequence[str], console: Console) -> int:
    """Runs the command and returns its exit code."""
    options = parse(Evaluate, "evaluate", arguments)
    console.quiet = options.quiet
    folder = chosen_model(options.model)
    model = GMSDI.from_pretrained(options.model or folder, encoder=options.encoder)
    console.say(describe(model))
    tracks = len(read_manifest(options.data).tracks)
    configs = options.configs(model.model.config.separation)
    runs = len(configs) * min(tracks, options.songs or tracks)
    with console.progress("evaluate", "runs") as advance:
        started = count()
        scorecard = evaluate_split(
            model,
            options.data,
            configs,
            songs=options.songs,
            seconds=options.seconds,
            protocol=options.protocol,
            spectra=folder / STATIC,
            out=options.out,
            on_progress=lambda song, method: advance(next(started), runs, f"{song}, {method}"),
        )
    print(scorecard, flush=True)
    return 0
