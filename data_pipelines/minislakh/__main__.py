"""`python -m data_pipelines.minislakh OUT --tracks N --seed S` renders a MiniSlakh."""

import argparse
import sys
from pathlib import Path

from rich.progress import Progress

from data_pipelines.minislakh.build import build
from gmsdi_jax.errors import GMSDIError


def main() -> int:
    """Runs the command line and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m data_pipelines.minislakh", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tracks", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each track")
    parser.add_argument("--soundfont", type=Path, help="a General MIDI .sf2 file")
    parser.add_argument("--jobs", type=int, help="tracks at a time (default: one per core)")
    parser.add_argument(
        "--split",
        type=float,
        nargs=3,
        default=(80, 10, 10),
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="shares of the tracks",
    )
    args = parser.parse_args()
    try:
        with Progress() as bar:
            task = bar.add_task("MiniSlakh", total=args.tracks)
            build(
                args.out,
                args.tracks,
                args.seed,
                args.seconds,
                args.soundfont,
                args.jobs,
                on_progress=lambda done, _: bar.update(task, completed=done),
                split=tuple(args.split),
            )
    except GMSDIError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 130
    print(args.out / "manifest.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
