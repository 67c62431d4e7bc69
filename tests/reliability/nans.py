"""G11: a batch that makes loss and gradient NaN, in whole trainings of one process and of two."""

import json
from pathlib import Path

import numpy as np
from reliability.bench import EXPERIMENT, STEPS, Bench, Outcome, committed, curve, finish

BAD, ABORTED = 23, 70
SPOILED = (
    EXPERIMENT
    + f"""
import jax
import numpy as np
from gmsdi_jax.cli import train as command

class Spoiled:
    def __init__(self, batches):
        self.batches, self.drawn = batches, 0
        self.get_state, self.set_state = batches.get_state, batches.set_state

    def __next__(self):
        batch, self.drawn = next(self.batches), self.drawn + 1
        if self.drawn == {BAD} and jax.process_index() == 0:
            return batch._replace(audio=np.full_like(batch.audio, np.nan))
        return batch

original = command.training_batches
command.training_batches = lambda *args, **more: Spoiled(original(*args, **more))
"""
)
"""The experiment, with a batch of NaN in its first process only."""


def numbers(bench: Bench, quick: bool) -> Outcome:
    """Every policy keeps its word: abort, skip, rollback."""
    wrong, done = [], 0
    plain = (bench.folder / "tiny.py").read_text()
    for name, start in (("1 process", bench.start), ("2 processes", bench.launch)):
        expected = bench.whole(launched=start == bench.launch)
        for policy, judge in (("abort", _abort), ("skip", _skip), ("rollback", _rollback)):
            out = bench.out(policy)
            (bench.folder / "tiny.py").write_text(SPOILED)
            flags = ("--guard.policy", policy, "--save-every", "1", "--keep", str(STEPS + 1))
            ended = finish(start(out, *flags))
            (bench.folder / "tiny.py").write_text(plain)
            notes = judge(out, ended.code)
            if policy == "abort":
                again = finish(start(out))
                same = again.code == 0 and curve(out).digests == expected.digests
                notes += [] if same else [f"resumed to exit {again.code}, other bits"]
            wrong += [f"{policy}, {name}: {note} {ended.err[-160:]}" for note in notes]
            done += 1
        if quick:
            break
    return Outcome(
        not wrong,
        f"{done} trainings by three policies, alone and as two processes, batch {BAD} of one of "
        "them NaN",
        "; ".join(wrong)
        or f"abort: exit {ABORTED}, resumed to equal bits; skip: arrays as before the step, bit "
        "for bit; rollback: finite to the last step",
    )


def _abort(out: Path, code: int) -> list[str]:
    notes = [] if code == ABORTED else [f"exit {code}"]
    return notes + ([] if 0 < committed(out) < BAD else [f"saved step {committed(out)}"])


def _skip(out: Path, code: int) -> list[str]:
    before, after = _arrays(out, BAD - 1), _arrays(out, BAD)
    notes = [] if code == 0 and committed(out) == STEPS else [f"exit {code}"]
    notes += [] if before and before == after else ["the step left a trace"]
    return notes + ([] if _arrays(out, BAD + 1) != after else ["no step after it counted"])


def _rollback(out: Path, code: int) -> list[str]:
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    losses = {line["step"]: line["loss"] for line in lines}
    notes = [] if code == 0 and committed(out) == STEPS else [f"exit {code}"]
    whole = sorted(losses) == list(range(1, STEPS + 1)) and np.isfinite([*losses.values()]).all()
    return notes + ([] if whole else ["lines are missing, or not finite"])


def _arrays(out: Path, step: int) -> dict[str, list[str]]:
    """The digests of all arrays of a checkpoint but its number."""
    path = out / "checkpoints" / str(step) / "manifest" / "metadata"
    leaves = json.loads(path.read_text())["leaves"] if path.exists() else {}
    return {name: digest for name, digest in leaves.items() if name != "step"}
