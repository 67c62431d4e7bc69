"""``gmsdi data minislakh``: render a synthetic Slakh."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from data_pipelines.minislakh.build import build
from gmsdi_jax.cli.options import Quiet, parse
from gmsdi_jax.console import Console


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
    unseen: float = 0.0
    """Share of the test split that is played on programs (timbres) which no other track has."""
    only: tuple[Literal["train", "validation", "test"], ...] = ()
    """Make these splits alone, as they are in the whole: the same test songs in another font."""
    quiet: Quiet = False
    """Say nothing but errors."""


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
                unseen=options.unseen,
                only=options.only,
            )
    except KeyboardInterrupt:
        console.say("stopped: the same command goes on where it was")
        raise
    print(options.out / "manifest.json", flush=True)
    return 0
