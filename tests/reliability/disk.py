"""G7: a disk that fills up while a run writes to it."""

import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reliability.bench import Bench, Outcome, committed, curve, finish, last_step, until

OUTPUT = 74
LATE = 2  # steps after the one whose save fails
SLOW = ("--batch", "96")  # a save fails in the background, in less than such a step takes


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 32 MiB.

    Raises:
        OSError: this user may not mount one.
    """
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        raise OSError("needs the right to mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, room: int) -> None:
    """Leaves `room` bytes, however much is being written meanwhile."""
    with (disk / "filler").open("ab", buffering=0) as file:
        try:
            while (free := shutil.disk_usage(disk).free - room) > 0:
                file.write(bytes(free))
        except OSError:
            pass


def full(bench: Bench, quick: bool) -> Outcome:
    """The disk is filled up to a random room, at a random moment; later there is room again."""
    rng, count, most, notes = random.Random(5), 0, 2 if quick else 10, []
    expected = bench.whole(*SLOW)
    with small_disk(bench.folder / "disk") as disk:
        while not bench.enough(count, most):
            notes += _once(bench, disk, disk / f"run-{count}", rng, expected)
            count += 1
    wrong = "; ".join(sorted(set(notes)))[:300]
    return Outcome(
        not notes,
        f"{count} times filled up to a random room at a random moment, and emptied again",
        wrong
        or f"exit {OUTPUT} in one line, {LATE} steps later at most; the checkpoints before it "
        f"whole; {count}/{count} runs went on to equal bits",
    )


def _once(bench: Bench, disk: Path, out: Path, rng: random.Random, expected) -> list[str]:
    """What was not as it should be."""
    process = bench.start(out, *SLOW)
    until(lambda: committed(out) or process.poll() is not None)
    size = sum(p.stat().st_size for p in (out / "checkpoints").rglob("*") if p.is_file())
    time.sleep(rng.uniform(0, 0.5))
    fill(disk, int(rng.uniform(0, 1.2) * size))
    ended, notes = finish(process), []
    (disk / "filler").unlink()
    lines = ended.err.splitlines()
    if ended.code != OUTPUT or len(lines) != 1:
        notes.append(f"exit {ended.code} in {len(lines)} lines: {' / '.join(lines[-2:])[:200]}")
    if (failed := re.search(r"/(\d+): not saved", ended.err)) and (
        last_step(out) > int(failed[1]) + LATE
    ):
        notes.append(f"failed at {failed[1]}, went on to {last_step(out)}")
    newest = committed(out)
    ended = finish(bench.start(out, *SLOW))
    if ended.code or curve(out) != expected:
        notes.append(f"resumed from {newest}: exit {ended.code} {ended.err[-200:]}")
    shutil.rmtree(out)
    return notes
