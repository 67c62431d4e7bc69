"""G1, G9, G12: SIGKILL at any moment, to a process alone, to one of two, to their launcher."""

import os
import random
import signal
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from reliability.bench import (
    Bench,
    Curve,
    Outcome,
    committed,
    curve,
    finish,
    going,
    leftovers,
    marked,
    ranks,
    until,
)

PEERS_GONE = 15.0  # seconds, G12
ORPHANS_GONE = 10.0  # seconds, G9
STARTING = 0.3  # of the kills come while a process starts

Process = subprocess.Popen[str]


class Tally:
    """What came of many kills, in as many trainings as they took."""

    def __init__(self, expected: Curve, most: int, seed: int):
        self.expected, self.most, self.rng = expected, most, random.Random(seed)
        self.kills = self.trainings = self.lost = self.wrong = self.left = self.strays = 0
        self.seconds: list[float] = []

    def train(self, bench: Bench, start: Callable[..., Process], kill) -> None:
        """One whole training, killed again and again until the number is full or it is done."""
        out, shared, code = bench.out("killed"), _shared(), None
        while code != 0:
            with marked() as (mark, alive):
                process = start(out, **mark)
                if not bench.enough(self.kills, self.most) and self._waits(process, out):
                    self._kill(process, kill, alive)
                ended = finish(process)
                code = ended.code
                assert code in (0, -signal.SIGKILL, 128 + signal.SIGKILL), ended.err
        self.trainings += 1
        self.wrong += curve(out) != self.expected
        self.left += len(leftovers(out)) + len(_shared() - shared)

    def _waits(self, process: Process, out: Path) -> bool:
        """Until a random moment; whether the process is still there. Notes a step that was lost."""
        before = committed(out)
        if not before:
            until(lambda: committed(out) or process.poll() is not None)
        elif self.rng.random() < STARTING:
            time.sleep(self.rng.uniform(0, 6))
            return process.poll() is None
        elif (begun := going(process, out)) is None:
            return False
        else:
            self.lost += begun < before
        time.sleep(self.rng.uniform(0, 1.5))
        return process.poll() is None

    def _kill(self, process: Process, kill, alive: Callable[[], list[int]]) -> None:
        at = time.monotonic()
        if not kill(process, self.rng):
            return
        finish(process)
        self.seconds.append(time.monotonic() - at)
        self.kills += 1
        try:
            until(lambda: not alive(), ORPHANS_GONE)
        except TimeoutError:
            self.strays += len(alive())

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, wrong, or left behind."""
        return not (self.lost or self.wrong or self.left or self.strays)

    def __str__(self) -> str:
        return (
            f"{self.trainings - self.wrong}/{self.trainings} curves and final states equal bits; "
            f"{self.lost} committed steps lost, {self.left} leftovers, {self.strays} orphans"
        )


def one_process(bench: Bench, quick: bool) -> Outcome:
    """G1 and G9, on a process alone."""
    tally = Tally(bench.whole(), 3 if quick else 50, seed=1)
    while not bench.enough(tally.kills, tally.most):
        tally.train(bench, bench.start, _kill_it)
    return Outcome(tally.clean, f"{tally.kills} SIGKILLs at random moments", str(tally))


def two_processes(bench: Bench, quick: bool) -> Outcome:
    """G1, G9 and G12: one rank is killed, and the launcher ends the other."""
    tally = Tally(bench.whole(launched=True), 2 if quick else 20, seed=2)
    while not bench.enough(tally.kills, tally.most):
        tally.train(bench, bench.launch, _kill_a_rank)
    slowest, median = max(tally.seconds), statistics.median(tally.seconds)
    return Outcome(
        tally.clean and slowest < PEERS_GONE,
        f"{tally.kills} SIGKILLs to one of two processes under launch/local.sh",
        f"{tally}; peers gone after {median:.1f} s (median), {slowest:.1f} s (longest)",
    )


def launchers(bench: Bench, quick: bool) -> Outcome:
    """G9: nothing outlives a launcher that is killed, and what it started is not lost."""
    expected, seconds, equal = bench.whole(launched=True), [], 0
    rng, most = random.Random(3), 1 if quick else 5
    while not bench.enough(len(seconds), most):
        out = bench.out("launcher")
        with marked() as (mark, alive):
            process = bench.launch(out, **mark)
            until(lambda out=out: committed(out))
            time.sleep(rng.uniform(0, 1))
            at = time.monotonic()
            process.kill()
            process.wait()
            until(lambda alive=alive: not alive(), 60)
            seconds.append(time.monotonic() - at)
            finish(process)
        ended = finish(bench.launch(out))
        equal += ended.code == 0 and curve(out) == expected
    return Outcome(
        max(seconds) < ORPHANS_GONE and equal == len(seconds),
        f"{len(seconds)} SIGKILLs to a launcher of two processes",
        f"all gone after {max(seconds):.1f} s at most; {equal}/{len(seconds)} runs went on to "
        "equal bits",
    )


def _kill_it(process: Process, rng: random.Random) -> bool:
    process.kill()
    return True


def _kill_a_rank(process: Process, rng: random.Random) -> bool:
    """False where both are not there yet, or not any more."""
    both = ranks(process.pid)
    if len(both) == 2:
        os.kill(rng.choice(both), signal.SIGKILL)
    return len(both) == 2


def _shared() -> set[str]:
    return set(os.listdir("/dev/shm"))
