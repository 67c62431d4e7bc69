"""``gmsdi report``: an evaluation as a page to read, to hear and to vote on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from gmsdi_jax.cli.options import Quiet, parse
from gmsdi_jax.console import Console
from gmsdi_jax.report import read_run, write_report
from gmsdi_jax.report.run import KEEP_AUDIO
from gmsdi_jax.report.sound import kept


@dataclass(frozen=True, kw_only=True)
class Report:
    """Make the listening report of an evaluation: a folder with one page, index.html.

    It opens from a disk, with no server and no network: scores with intervals and baselines, songs
    sorted worst first, all versions of a song in step with solo and mute, and a blind test.
    """

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """The folder that gmsdi evaluate -o wrote."""
    other: Annotated[Positional[Path | None], arg(metavar="OTHER", help_behavior_hint="")] = None
    """Another one, to compare scores and configurations with."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="")] = None
    """Where the report goes; by default RUN/report. An earlier report there is replaced."""
    quiet: Quiet = False
    """Say nothing but errors."""


def report(arguments: Sequence[str], console: Console) -> int:
    """Runs the command and returns its exit code."""
    options = parse(Report, "report", arguments)
    console.quiet = options.quiet
    run = read_run(options.run)
    other = None if options.other is None else read_run(options.other)
    songs = {row.track for methods in run.scores.values() for s in methods.values() for row in s}
    if not any(kept(run, song) for song in songs):
        console.say(f"no sound was kept, so there is none to hear: {KEEP_AUDIO} keeps some")
    out = options.run / "report" if options.out is None else options.out
    with console.progress("report", "songs") as advance:
        page = write_report(run, out, other, on_progress=advance)
    print(page, flush=True)
    return 0
