"""``gmsdi data slakh``: data sets to shards, all in the same way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from data_pipelines import beam
from data_pipelines import slakh as slakh_
from data_pipelines.corpus import Plan
from data_pipelines.prepare import Advance, Cut, prepare
from gmsdi_jax.cli.data.describe import describe
from gmsdi_jax.cli.options import Quiet, parse
from gmsdi_jax.console import Console
from gmsdi_jax.errors import ConfigError, InputError

_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class _Preparation:
    """What every data set shares."""

    source: Annotated[Positional[Path], arg(metavar="SRC")]
    """The data set's folder."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Where the shards go, one folder per split."""
    cut: Annotated[Cut, arg(name="")] = Cut()
    """How shards are cut."""
    jobs: int | None = None
    """Processes that read tracks; by default one per core."""
    runner: Literal["local"] | beam.Runner = "local"
    """Where it runs: here, or as an Apache Beam job. Then SRC and OUT are whole paths of a file
    system that all workers share."""
    beam_options: Annotated[
        UseAppendAction[tuple[str, ...]], arg(name="beam-option", metavar="KEY=VALUE")
    ] = ()
    """An option of Beam for the job, such as region=europe-west4; may be given many times."""
    quiet: Quiet = False
    """Say nothing but errors."""

    def __post_init__(self) -> None:
        if self.runner == "local" and self.beam_options:
            raise ConfigError("--beam-option needs a --runner other than local")
        if self.runner != "local" and not self.source.is_absolute():
            raise ConfigError(f"{self.source}: --runner {self.runner} needs the whole path")


@dataclass(frozen=True, kw_only=True)
class Slakh(_Preparation):
    """Prepare Slakh2100 (its layout or MSDM's) for training: mono mixtures and who plays when.

    SRC holds train, validation and test (or the tracks themselves, as in BabySlakh). A run that was
    stopped goes on with the first unfinished file. Prints what each split holds.
    """

    splits: tuple[str, ...] = slakh_.SPLITS
    """Which splits to make."""
    arrangement: slakh_.Arrangement = "folders"
    """What decides a track's split: its folder, or an official list. original is the paper's, with
    the same MIDI file in several splits; redux is without them; split2 moves them."""
    labels: slakh_.Labels = "levels"
    """What decides whether a class plays: the level of its stem, or the notes of its MIDI files."""


def slakh(arguments: Sequence[str], console: Console) -> int:
    """Runs ``data slakh`` and returns its exit code, 3 if tracks were damaged or are missing."""
    options = parse(Slakh, "data slakh", arguments)
    plans = slakh_.plans(
        options.source,
        splits=options.splits,
        arrangement=options.arrangement,
        labels=options.labels,
        hop=options.cut.hop,
    )
    return _prepare(plans, options, console)


def _prepare(plans: Mapping[str, Plan], options: _Preparation, console: Console) -> int:
    console.quiet = options.quiet
    try:
        with console.progress("prepare", "tracks") as advance:

            def show(step: Advance) -> None:
                advance(step.done, step.total, step.split)
                for track, reason in step.skipped.items():
                    console.error(InputError(f"skipped {track}: {reason}"))

            if options.runner == "local":
                manifests = prepare(
                    plans, options.out, options.cut, jobs=options.jobs, on_progress=show
                )
            else:
                job = beam.pipeline_options(options.runner, options.beam_options)
                manifests = beam.prepare_with_beam(
                    plans, options.out, options.cut, job, on_progress=show
                )
    except KeyboardInterrupt:
        console.say("stopped: the same command goes on where it was")
        raise
    for manifest in manifests.values():
        print(describe(manifest), flush=True)
        if manifest.missing:
            named = ", ".join(manifest.missing[:_NAMED])
            more = ", ..." if len(manifest.missing) > _NAMED else ""
            count = f"{manifest.split}: {len(manifest.missing)} tracks of its list are not in"
            console.error(InputError(f"{count} {options.source}: {named}{more}"))
    whole = not any(manifest.damaged or manifest.missing for manifest in manifests.values())
    return 0 if whole else InputError.exit_code
