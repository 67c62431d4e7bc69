"""``gmsdi sweep``: a table of settings, from one file, filled cell by cell."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from gmsdi_jax.cli.experiment import declared
from gmsdi_jax.cli.model import chosen_model, describe
from gmsdi_jax.cli.options import EncoderFolder, ModelFolder, Quiet, parse
from gmsdi_jax.console import Console
from gmsdi_jax.distributed import HostsConfig, is_first, join
from gmsdi_jax.errors import ConfigError, OutputError
from gmsdi_jax.generation import open_listeners
from gmsdi_jax.generation.listeners import DEFAULT_FOLDERS
from gmsdi_jax.sweep import Distances, Plan, Sweep, plan, render, run
from gmsdi_jax.sweep.jobs import Sources
from gmsdi_jax.sweep.run import state

UNFINISHED = 3


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """Fill a table of settings and print it in Markdown.

    What is in the store is not computed again: the same command goes on where a killed one was,
    and run at several machines that see one store it shares the cells. Exit code 3: others are
    still computing cells.
    """

    experiment: Annotated[Positional[Path], arg(metavar="EXPERIMENT.py")]
    """A file with a function sweep() -> Sweep, such as experiments/table1_guidance.py."""
    data: Path = Path("shards")
    """Prepared data: the folder above test and validation."""
    model: ModelFolder = None
    """Folder of a model, or owner/name on the Hugging Face hub; by default the one that ships."""
    encoder: EncoderFolder = None
    """Folder of the model's frozen encoder, for prompts of any words."""
    hear: Annotated[
        UseAppendAction[tuple[Path, ...]], arg(metavar="FOLDER", help_behavior_hint="")
    ] = ()
    """Folder of a VGGish or CLAP that hears what was drawn; may be given again. By default those of
    encoders/vggish and encoders/clap that are there; silence and loudness need none."""
    store: Annotated[Path, arg(metavar="FOLDER")] = Path("runs/sweeps")
    """Where cells are kept, of all sweeps together."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="FILE.md", help_behavior_hint="")] = (
        None
    )
    """Where the tables go, beside stdout."""
    quick: bool = False
    """Few songs, few seconds and few steps, as the file says: whether it runs, not a result."""
    songs: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """How many songs, from the first, or pieces to draw; by default as the file says."""
    seconds: Annotated[float | None, arg(metavar="S", help_behavior_hint="")] = None
    """How much of each; by default as the file says."""
    seeds: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """How many seeds, from 0 on, of methods that draw; by default as the file says."""
    dry_run: bool = False
    """List the cells and which of them are there; compute nothing."""
    hosts: Annotated[HostsConfig, arg(name="")] = field(default_factory=HostsConfig)
    """Which processes share the cells; all see the store."""
    quiet: Quiet = False
    """Say nothing but errors."""

    def __post_init__(self) -> None:
        """Refuses amounts that are none."""
        for name in ("songs", "seconds", "seeds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"--{name} is {value}: take more than 0")

    def sweep(self) -> Sweep:
        """What the file declares, with what was asked here."""
        sweep = declared(self.experiment, "sweep", Sweep)
        sweep = sweep.quickly() if self.quick else sweep
        asked = {name: getattr(self, name) for name in ("songs", "seconds", "seeds")}
        return replace(sweep, **{name: v for name, v in asked.items() if v is not None})


def sweep(arguments: Sequence[str], console: Console) -> int:
    """Runs the command and returns its exit code."""
    options = parse(SweepOptions, "sweep", arguments)
    console.quiet = options.quiet
    declared = options.sweep()
    join(options.hosts)
    folders = options.hear or [f for f in DEFAULT_FOLDERS if (f / "config.json").exists()]
    listeners = open_listeners(folders) if isinstance(declared.table, Distances) else []
    sources = Sources(
        options.store, options.data, options.model or chosen_model(None), options.encoder
    )
    console.say(describe(sources.model(None)))
    planned = plan(declared, sources, console.say)
    if options.dry_run:
        print("\n".join(_listed(planned)), flush=True)
        return 0
    with console.progress("sweep", "parts") as advance:
        left = run(planned, advance, console.say)
    if is_first():
        tables = render(planned, listeners)
        print(tables, flush=True)
        _save(options.out, tables)
    if left:
        console.say(f"{left} cells are being computed by others: run it again when they are done")
    return UNFINISHED if left else 0


def _listed(planned: Plan) -> list[str]:
    """A line per cell: its digest, what of it is there, and what it is."""
    lines = [f"{job.folder.name}  {state(job):<20}  {name}" for name, job in planned.jobs.values()]
    empty = [cell.name for cell, job in planned.cells if job is None]
    return [*lines, *(f"{'-':<20}  {'no model':<20}  {name}" for name in empty)]


def _save(path: Path | None, tables: str) -> None:
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{tables}\n")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
