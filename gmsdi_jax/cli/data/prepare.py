"""``gmsdi data slakh``, ``jamendo`` and ``folder``: data sets to shards, all in the same way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from data_pipelines import beam
from data_pipelines import folder as folder_
from data_pipelines import jamendo as jamendo_
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


@dataclass(frozen=True, kw_only=True)
class Jamendo(_Preparation):
    """Prepare MTG-Jamendo (raw_30s/audio-low) for training: mono mixtures with their tags.

    SRC holds the tars, or the folders 00 to 99 that they unpack to. A run that was stopped goes on
    with the first unfinished file. Prints what each split holds.
    """

    cut: Annotated[Cut, arg(name="")] = Cut(tracks_per_shard=64)
    """How shards are cut; 64 tracks are a tenth of a tar."""
    metadata: Path | None = None
    """Folder of the data set's TSV files; by default they are looked for in SRC."""
    split: Literal["paper", "split-0", "split-1", "split-2", "split-3", "split-4"] = "paper"
    """The paper's: parts 00-97 train, 98-99 validation, with the same artists in both. split-0 to
    split-4 are the official ones, in which no artist is twice."""


@dataclass(frozen=True, kw_only=True)
class Folder(_Preparation):
    """Prepare a folder of audio files, or of WebDataset tars, for training.

    A run that was stopped goes on with the first unfinished file. Prints what each split holds.
    """

    labels: folder_.Labels
    """Where labels come from: a table, the names of the folders, or nowhere (for models that are
    conditioned on a CLAP embedding of the audio)."""
    csv: Path | None = None
    """The table for --labels csv, with columns file and labels (separated by ;); by default
    labels.csv in SRC."""
    shares: tuple[float, float, float] = (90.0, 10.0, 0.0)
    """Of files for train, validation and test, chosen by a hash of their names."""


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


def jamendo(arguments: Sequence[str], console: Console) -> int:
    """Runs ``data jamendo`` and returns its exit code, as above."""
    options = parse(Jamendo, "data jamendo", arguments)
    plans = jamendo_.plans(options.source, metadata=options.metadata, split=options.split)
    return _prepare(plans, options, console)


def folder(arguments: Sequence[str], console: Console) -> int:
    """Runs ``data folder`` and returns its exit code, as above."""
    options = parse(Folder, "data folder", arguments)
    if min(options.shares) < 0 or not sum(options.shares):
        raise ConfigError(f"shares must be positive, not {options.shares}")
    total = sum(options.shares)
    names = ("train", "validation", "test")
    shares = {n: s / total for n, s in zip(names, options.shares, strict=True) if s}
    plans = folder_.plans(options.source, labels=options.labels, csv=options.csv, shares=shares)
    return _prepare(plans, options, console)


def _prepare(plans: Mapping[str, Plan], options: _Preparation, console: Console) -> int:
    console.quiet = options.quiet
    told: set[tuple[str, str]] = set()

    def tell(split: str, skipped: Mapping[str, str]) -> None:
        for track, reason in skipped.items():
            if (split, track) not in told:
                console.error(InputError(f"skipped {track}: {reason}"))
            told.add((split, track))

    try:
        with console.progress("prepare", "tracks") as advance:

            def show(step: Advance) -> None:
                advance(step.done, step.total, step.split)
                tell(step.split, step.skipped)

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
        tell(manifest.split, manifest.damaged)  # by an earlier run
        if manifest.missing:
            named = ", ".join(manifest.missing[:_NAMED])
            more = ", ..." if len(manifest.missing) > _NAMED else ""
            count = f"{manifest.split}: {len(manifest.missing)} tracks of its list are not in"
            console.error(InputError(f"{count} {options.source}: {named}{more}"))
    whole = not any(manifest.damaged or manifest.missing for manifest in manifests.values())
    return 0 if whole else InputError.exit_code
