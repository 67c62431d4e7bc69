"""``gmsdi data``: render a synthetic Slakh, prepare Slakh for training, look at prepared data."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from data_pipelines.minislakh.build import build
from data_pipelines.slakh import SPLITS, Advance, describe, prepare
from gmsdi_jax.cli.options import Quiet, parse
from gmsdi_jax.console import Console
from gmsdi_jax.data import open_split
from gmsdi_jax.errors import InputError, UnavailableError


@dataclass(frozen=True, kw_only=True)
class MiniSlakh:
    """Render MiniSlakh: a synthetic stand-in for Slakh2100, in its layout; needs fluidsynth.

    A build that was stopped goes on where it was. Prints the path of the manifest.
    """

    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder of the data set."""
    tracks: int
    """How many tracks in all."""
    seed: int = 0
    """Decides the music."""
    seconds: float = 60.0
    """Length of each track."""
    soundfont: Path | None = None
    """A General MIDI .sf2 file; by default one is found in the usual places."""
    jobs: int | None = None
    """Tracks made at a time; by default one per core."""
    split: tuple[float, float, float] = (80.0, 10.0, 10.0)
    """Shares of train, validation and test."""
    quiet: Quiet = False
    """Say nothing but errors."""


@dataclass(frozen=True, kw_only=True)
class Slakh:
    """Prepare Slakh2100 (its layout or MSDM's) for training: mono mixtures and who plays when.

    A run that was stopped goes on with the first unfinished split. Prints what each split holds.
    """

    source: Annotated[Positional[Path], arg(metavar="SRC")]
    """Folder that holds train, validation and test, each with TrackNNNNN folders."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Where the shards go, one folder per split."""
    splits: tuple[str, ...] = SPLITS
    """Which splits to make."""
    sample_rate: int = 22050
    """Hz."""
    chunk: int = 2**17
    """Samples per record; the longest window that can be read."""
    jobs: int | None = None
    """Processes that read tracks; by default one per core."""
    quiet: Quiet = False
    """Say nothing but errors."""


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Print what prepared data holds: tracks, hours, rms, and which classes play together."""

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """One split, or the folder that holds the splits."""
    verify: bool = False
    """Compare every file with its checksum, which reads all of them."""


def minislakh(arguments: Sequence[str], console: Console) -> int:
    """Runs ``data minislakh`` and returns its exit code."""
    options = parse(MiniSlakh, "data minislakh", arguments)
    console.quiet = options.quiet
    try:
        with console.progress("MiniSlakh", "tracks") as advance:
            build(
                options.out,
                options.tracks,
                options.seed,
                options.seconds,
                options.soundfont,
                options.jobs,
                lambda done, total: advance(done, total, ""),
                options.split,
            )
    except KeyboardInterrupt:
        console.say("stopped: the same command goes on where it was")
        raise
    print(options.out / "manifest.json", flush=True)
    return 0


def slakh(arguments: Sequence[str], console: Console) -> int:
    """Runs ``data slakh`` and returns its exit code, 3 if tracks were damaged and skipped."""
    options = parse(Slakh, "data slakh", arguments)
    console.quiet = options.quiet
    with console.progress("prepare", "tracks") as advance:

        def show(step: Advance) -> None:
            advance(step.done, step.total, step.split)
            if step.error:
                console.error(InputError(f"skipped {step.track}: {step.error}"))

        manifests = prepare(
            options.source,
            options.out,
            splits=options.splits,
            sample_rate=options.sample_rate,
            chunk=options.chunk,
            jobs=options.jobs,
            on_progress=show,
        )
    for manifest in manifests.values():
        print(describe(manifest), flush=True)
    damaged = any(manifest.damaged for manifest in manifests.values())
    return InputError.exit_code if damaged else 0


def inspect(arguments: Sequence[str], console: Console) -> int:
    """Runs ``data inspect`` and returns its exit code."""
    options = parse(Inspect, "data inspect", arguments)
    places = [options.folder, *(options.folder / split for split in SPLITS)]
    prepared = [place for place in places if (place / "manifest.json").exists()]
    if not prepared:
        raise UnavailableError(
            f"{options.folder} holds no prepared data: run gmsdi data slakh SRC OUT"
        )
    for place in prepared:
        split = open_split(place, verify=options.verify)
        settings = split.manifest.settings
        print(describe(split.manifest))
        print(
            f"  {', '.join(settings.labels)} at {settings.sample_rate} Hz, records of "
            f"{settings.chunk} samples, {'with' if settings.stems else 'without'} stems",
            flush=True,
        )
    if options.verify:
        console.say("all checksums are right")
    return 0
