"""G2: SIGTERM and SIGINT end a run within seconds, with nothing to be computed twice."""

import random
import signal
import time
from pathlib import Path

from reliability.bench import (
    STEPS,
    Bench,
    Curve,
    Outcome,
    committed,
    curve,
    finish,
    going,
    last_step,
    until,
)

IN_TIME = 10.0  # seconds
PREEMPTED = 85
BY_SIGNAL = (-signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT)


def one_process(bench: Bench, quick: bool) -> Outcome:
    """One process, told by SIGTERM and SIGINT in turn."""
    return _stops(bench, bench.whole(), bench.start, 2 if quick else 20)


def two_processes(bench: Bench, quick: bool) -> Outcome:
    """Two processes, whose launcher is told."""
    return _stops(bench, bench.whole(launched=True), bench.launch, 1 if quick else 20)


def _stops(bench: Bench, expected: Curve, start, most: int) -> Outcome:
    """Whole trainings, stopped again and again until the number is full."""
    rng, seconds, again, trainings, equal, after = random.Random(4), [], 0, 0, 0, 0
    while not bench.enough(len(seconds), most):
        out, stopped, done = bench.out("stopped"), 0, False
        while not done:
            process = start(out)
            if stopped:
                begun = going(process, out)
                again += stopped - (stopped if begun is None else begun)
            else:
                until(lambda out=out: committed(out))
            time.sleep(rng.uniform(0, 1.5))
            at = time.monotonic()
            if not bench.enough(len(seconds), most) and process.poll() is None:
                process.send_signal(rng.choice((signal.SIGTERM, signal.SIGINT)))
            ended = finish(process)
            late = ended.code in BY_SIGNAL and last_step(out) == STEPS
            done = ended.code == 0 or late
            after += late
            if not done:
                seconds.append(time.monotonic() - at)
                assert ended.code == PREEMPTED, (ended.code, ended.err)
                stopped = _saved(out)
        trainings += 1
        equal += curve(out) == expected
    return Outcome(
        max(seconds) < IN_TIME and again == 0 and equal == trainings,
        f"{len(seconds)} signals at random moments",
        f"exit {PREEMPTED} after {max(seconds):.1f} s at most; {again} steps recomputed; "
        f"{equal}/{trainings} curves and final states equal bits; {after} more came while Python "
        "shut down after the last step",
    )


def _saved(out: Path) -> int:
    """The last step that was done, which must be a checkpoint."""
    assert committed(out) == last_step(out), (committed(out), last_step(out))
    return committed(out)
