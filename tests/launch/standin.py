"""A trainer small enough to be watched: what the launchers start where the real one is not needed.

It keeps the contract that the launchers rely on: it takes the flags of `gmsdi train`, finds its
rank by them or by the variables of SLURM and TPU VMs, saves every `--save-every` steps and at the
end, and on SIGTERM finishes the step, saves and exits with 85. Its state is a chaotic map, so that
one step too many or too few shows in every later line of `OUT/curve-RANK.txt`, where floats are
written in hexadecimal.

`--fail RANK:STEP:CODE` ends one rank at one step, by a signal where CODE is negative; a file in OUT
remembers it, so that the next start goes on, unless the code ends with `!`. `--deaf` ignores
SIGTERM, as a rank does that hangs in a collective. `--linger` seconds after the last save a rank
ends, times its number. `--jax` connects the processes by jax.distributed and agrees on the last
step through it; `--seconds` is the time of a step.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

PREEMPTED = 85


def options() -> argparse.Namespace:
    """The flags of `gmsdi train` that the launchers set, and those of this page."""
    parser = argparse.ArgumentParser(prog="gmsdi")
    parser.add_argument("verb", choices=["train"])
    parser.add_argument("experiment")
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", choices=["auto", "must", "never"], required=True)
    parser.add_argument("--distributed", choices=["auto"])
    parser.add_argument("--coordinator")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--process", type=int)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.05)
    parser.add_argument("--save-every", type=int, default=5)
    parser.add_argument("--fail")
    parser.add_argument("--deaf", action="store_true")
    parser.add_argument("--linger", type=float, default=0)
    parser.add_argument("--jax", action="store_true")
    return parser.parse_args()


def place(flags: argparse.Namespace) -> int:
    """The number of this process."""
    return (
        flags.process
        if flags.process is not None
        else int(os.environ.get("SLURM_PROCID", os.environ.get("TPU_WORKER_ID", "0")))
    )


def connect(flags: argparse.Namespace) -> None:
    """Connects by jax.distributed, which sees SLURM where no flags are given."""
    import jax

    jax.distributed.initialize(flags.coordinator, flags.processes, flags.process)
    print(f"connected: {jax.process_index()} of {jax.process_count()}", flush=True)


def any_says(stop: bool) -> bool:
    """Whether any process wants to stop: the same answer in all."""
    import numpy as np
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.array(stop)).any())


def fail(flags: argparse.Namespace, rank: int, step: int) -> None:
    """Ends here, if this is the time and place."""
    where, when, code = flags.fail.split(":")
    mark = flags.out / f"failed-{rank}"
    always = code.endswith("!")
    if (int(where), int(when)) != (rank, step) or (mark.exists() and not always):
        return
    mark.touch()
    number = int(code.rstrip("!"))
    if number < 0:
        os.kill(os.getpid(), -number)
    sys.exit(number)


def main() -> int:
    """Trains."""
    flags = options()
    if flags.jax:
        connect(flags)  # and takes SIGTERM for itself, so ours comes after it
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    rank = place(flags)
    flags.out.mkdir(parents=True, exist_ok=True)
    saved = flags.out / f"state-{rank}.txt"
    step, x = 0, 0.3 + 0.01 * rank
    if saved.exists():
        first, second = saved.read_text().split()
        step, x = int(first), float.fromhex(second)
    elif flags.resume == "must":
        return 2
    print(f"begins at {step}", flush=True)

    def save() -> None:
        temporary = saved.with_suffix(".tmp")
        temporary.write_text(f"{step} {x.hex()}")
        temporary.replace(saved)

    with (flags.out / f"curve-{rank}.txt").open("a", buffering=1) as curve:
        while step < flags.steps:
            if flags.fail:
                fail(flags, rank, step)
            time.sleep(flags.seconds)
            step, x = step + 1, 3.9 * x * (1 - x)
            curve.write(f"{step} {x.hex()}\n")
            if any_says(bool(stop)) if flags.jax else stop and not flags.deaf:
                save()
                print(f"saved {step}", flush=True)
                time.sleep(flags.linger * rank)
                return PREEMPTED
            if step % flags.save_every == 0:
                save()
        save()
    print("done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
