"""``gmsdi evaluate``: a scorecard, of a model on prepared songs or of stems that are there already.

With ``-o`` the results are kept as they come, and the same command goes on where a killed one was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from gmsdi_jax.cli.model import chosen_model, describe
from gmsdi_jax.cli.options import EncoderFolder, ModelFolder, Quiet, Stems, parse
from gmsdi_jax.console import Advance, Console
from gmsdi_jax.distributed import HostsConfig, join
from gmsdi_jax.errors import ConfigError, InputError
from gmsdi_jax.evaluate import STATIC, FolderSongs, evaluate_folders, evaluate_split
from gmsdi_jax.methods import Method, SeparationConfig
from gmsdi_jax.pipeline import GMSDI


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Print a scorecard in Markdown.

    Of a model on songs whose stems are known (--data SPLIT), or of stems that any tool separated
    (SEPARATED ... --references FOLDER).
    """

    separated: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="[SEPARATED ...]", help_behavior_hint="")
    ] = ()
    """Folders of TRACK/STEM.wav, as demucs writes them; each is a method."""
    references: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Folder of TRACK/STEM.wav with the true stems; the mixture is mixture.wav, or their sum."""
    stems: Stems = ()
    """A stem to score, of SEPARATED; by default all that the references have."""
    sample_rate: Annotated[int | None, arg(metavar="HZ", help_behavior_hint="")] = None
    """Convert SEPARATED and references to this rate; by default all must have one."""
    data: Annotated[Path | None, arg(metavar="SPLIT", help_behavior_hint="")] = None
    """One split with stems of prepared data, such as shards/test."""
    model: ModelFolder = None
    """Folder of a model, or owner/name on the Hugging Face hub; by default the one that ships."""
    encoder: EncoderFolder = None
    """Folder of the model's frozen encoder, for prompts of any words."""
    methods: Annotated[tuple[Method, ...], arg(help_behavior_hint="")] = ()
    """The methods to compare; by default the model's own."""
    songs: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """How many songs of SPLIT, from the first; all by default."""
    seconds: Annotated[float | None, arg(metavar="S", help_behavior_hint="")] = None
    """How much of each song, from its start; all by default."""
    protocol: Literal["active", "msdm"] = "active"
    """Which scores head the card: of stems that play, or MSDM's. Both are computed."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Solver steps of all methods that take some; by default the model's own."""
    guidance: Annotated[float | None, arg(metavar="W", help_behavior_hint="")] = None
    """Guidance scale of all methods, 1 is off; by default the model's own."""
    seeds: int = 1
    """How many seeds, from 0 on, of methods that draw."""
    overlap: float = 0.25
    """Share of a window that the next one repeats; 0 is as published."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="")] = None
    """Where results go as they come, and then the scorecard and tables, beside stdout."""
    audio: Annotated[int, arg(metavar="N")] = 0
    """Of how many songs to keep the audio, below -o."""
    hosts: Annotated[HostsConfig, arg(name="")] = field(default_factory=HostsConfig)
    """Which processes share the songs; all see the folder of -o."""
    quiet: Quiet = False
    """Say nothing but errors."""

    def __post_init__(self) -> None:
        """Refuses what does not belong together."""
        if bool(self.separated) != (self.references is not None):
            raise ConfigError(
                "name SEPARATED folders and --references FOLDER together, or a prepared split with "
                "--data SPLIT"
            )
        if bool(self.separated) == (self.data is not None):
            raise ConfigError("name either --data SPLIT or SEPARATED folders with --references")
        asked = {
            "--model": self.model,
            "--encoder": self.encoder,
            "--methods": self.methods,
            "--songs": self.songs,
            "--seconds": self.seconds,
            "--steps": self.steps,
            "--guidance": self.guidance,
            "--seeds": self.seeds != 1,
            "--overlap": self.overlap != Evaluate.overlap,
            "--distributed": self.hosts != HostsConfig(),
        }
        folders = {"--stem": self.stems, "--sample-rate": self.sample_rate}
        wrong = [name for name, value in (asked if self.separated else folders).items() if value]
        if wrong:
            needs = "--data" if self.separated else "SEPARATED folders"
            raise ConfigError(f"{wrong[0]} is for {needs}: leave it out")
        if self.audio < 0 or (self.audio and self.out is None):
            raise ConfigError(f"--audio is {self.audio}: take at least 0, with a folder -o")
        if self.songs is not None and self.songs < 1:
            raise ConfigError(f"--songs is {self.songs}: take at least 1")
        if self.seconds is not None and not self.seconds > 0:
            raise ConfigError(f"--seconds is {self.seconds}: take more than 0")
        if self.sample_rate is not None and self.sample_rate < 1000:
            raise ConfigError(f"--sample-rate is {self.sample_rate}: it is in Hz, such as 22050")

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
    return _folders(options, console) if options.data is None else _model(options, console)


def _model(options: Evaluate, console: Console) -> int:
    """A model on a split."""
    assert options.data is not None
    join(options.hosts)
    folder = chosen_model(options.model)
    model = GMSDI.from_pretrained(options.model or folder, encoder=options.encoder)
    console.say(describe(model))
    with console.progress("evaluate", "runs") as advance:
        progress = _Progress(advance, console)
        scorecard = evaluate_split(
            model,
            options.data,
            options.configs(model.model.config.separation),
            songs=options.songs,
            seconds=options.seconds,
            protocol=options.protocol,
            spectra=folder / STATIC,
            out=options.out,
            seeds=options.seeds,
            overlap=options.overlap,
            audio=options.audio,
            on_plan=progress.plan,
            on_progress=progress,
            say=console.say,
        )
    if scorecard:
        print(scorecard, flush=True)
    return 0


def _folders(options: Evaluate, console: Console) -> int:
    """Folders against references; a song that cannot be scored does not stop the others."""
    assert options.references is not None
    songs = FolderSongs(
        options.separated, options.references, options.stems, options.sample_rate, console.say
    )
    failed: list[InputError] = []

    def fail(error: InputError) -> None:
        failed.append(error)
        console.error(error)

    with console.progress("evaluate", "runs") as advance:
        progress = _Progress(advance, console)
        scorecard = evaluate_folders(
            songs,
            protocol=options.protocol,
            out=options.out,
            audio=options.audio,
            on_failure=fail,
            on_plan=progress.plan,
            on_song=progress,
            say=console.say,
        )
    print(scorecard, flush=True)
    if failed:
        console.say(f"{len(failed)} of {len(songs.names)} songs failed, the errors are above")
    return InputError.exit_code if failed else 0


class _Progress:
    """What was done of what is to do; what was there before does not count."""

    def __init__(self, advance: Advance, console: Console):
        self._advance, self._console = advance, console
        self._started, self._all = count(), 0

    def plan(self, there: int, missing: int) -> None:
        """Says what is there already."""
        self._all = missing
        if there:
            self._console.say(f"{there} results are there already, {missing} to go")

    def __call__(self, song: str, method: str) -> None:
        """Before each result."""
        self._advance(next(self._started), self._all, f"{song}, {method}")
