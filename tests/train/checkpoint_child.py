"""A process that saves until it is killed; run by the tests of checkpoints.

    python checkpoint_child.py FOLDER

Each line on stdin forks a run, before anything of JAX has started, so that a run costs no imports.
A run resumes, compares what it finds with what must have been saved, then saves step after step.
It says ``pid P``, ``found S`` (-1: nothing) or ``wrong S``, then ``begun S`` and ``saved S``.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from train.checkpoint_states import bits, state_of

from gmsdi_jax.train.checkpoint import Checkpoints


def say(word: str, number: int) -> None:
    os.write(1, f"{word} {number}\n".encode())


def run(folder: Path) -> None:
    say("pid", os.getpid())
    checkpoints = Checkpoints(folder, keep=2, patience=20)
    found = checkpoints.resume(state_of(0))
    step = int(found[0].step) if found else -1
    right = found is None or (bits(found[0]) == bits(state_of(step)) and found[1] == {"n": step})
    say("found" if right else "wrong", step)
    while True:
        step += 1
        state = state_of(step)
        say("begun", step)
        checkpoints.save(step, state, {"n": step})
        checkpoints.wait()
        say("saved", step)


if __name__ == "__main__":
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            run(Path(sys.argv[1]))
        os.waitpid(child, 0)
        say("ended", child)
