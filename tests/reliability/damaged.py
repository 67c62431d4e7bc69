"""G3, G4: checkpoints of a real run that are damaged, one file at a time, and all of them."""

import shutil
from collections import Counter
from pathlib import Path

import jax
import numpy as np
from reliability.bench import Bench, Outcome, finish
from train.test_checkpoint_damage import WAYS, damage

from gmsdi_jax.build import Model
from gmsdi_jax.cli.experiment import declared
from gmsdi_jax.config import TrainConfig
from gmsdi_jax.distributed import training_mesh
from gmsdi_jax.train import make_optimizer
from gmsdi_jax.train.checkpoint import Checkpoints
from gmsdi_jax.train.state import state_shapes


def shapes(bench: Bench):
    """Of the state of the experiment."""
    config = declared(bench.folder / "tiny.py", "config", TrainConfig)
    optimizer = make_optimizer(config.optimizer, config.steps)
    return state_shapes(Model(config.model), config, optimizer, training_mesh(config.fsdp))


def same(state, other) -> bool:
    """Whether all arrays are equal bits."""
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(other), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def one_of_them(bench: Bench, quick: bool) -> Outcome:
    """One damage to the newest checkpoint: harmless, or found and the one before it used."""
    run = bench.out("whole")
    assert finish(bench.start(run, "--steps", "10")).code == 0
    like, rng, came = shapes(bench), np.random.default_rng(6), Counter()
    whole, copy = run / "checkpoints", bench.folder / "copy"
    right = {step: _restore(whole, like, at_most=step)[0] for step in (5, 10)}
    for number in range(14 if quick else 210):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole, copy)
        damage(copy / "10", WAYS[number % len(WAYS)], rng)
        state, said = _restore(copy, like)
        step = int(state.step)
        if not same(state, right[step]):
            came["silent"] += 1
        elif step == 10:
            came["harmless"] += 1
        else:
            came["found, fell back" if len(said) == 1 else "found, but not in one line"] += 1
    told = ", ".join(f"{count} {what}" for what, count in sorted(came.items()))
    return Outcome(
        not came.keys() - {"harmless", "found, fell back"},
        f"{came.total()} times one file flipped, cut, grown, zeroed, deleted, swapped",
        f"{told}, {came['silent']} silent" if not came["silent"] else told,
    )


def all_of_them(bench: Bench, quick: bool) -> Outcome:
    """With no good one left, ``gmsdi train`` refuses, in one line, and changes nothing."""
    run = bench.out("whole")
    assert finish(bench.start(run, "--steps", "10")).code == 0
    rng, refused, count = np.random.default_rng(7), 0, 1 if quick else 5
    for _ in range(count):
        copy = shutil.copytree(run, bench.out("copy"))
        for step in ("5", "10"):
            data = max((copy / "checkpoints" / step / "state").rglob("*"), key=_size)
            spoiled = bytearray(data.read_bytes())
            spoiled[len(spoiled) // 3 : len(spoiled) // 2] = rng.bytes(
                len(spoiled) // 2 - len(spoiled) // 3
            )
            data.write_bytes(spoiled)
        before = sorted(copy.rglob("*"))
        ended = finish(bench.start(copy))
        unchanged = sorted(copy.rglob("*")) == before
        refused += ended.code == 4 and len(ended.err.splitlines()) == 1 and unchanged
    return Outcome(
        refused == count,
        f"{count} runs with every checkpoint damaged",
        f"{refused}/{count} refused with exit 4 in one line, nothing changed",
    )


def _restore(folder: Path, like, at_most: int | None = None):
    """The newest good state, by a reader, and what was said."""
    said: list[str] = []
    reader = Checkpoints(folder, write=False, on_event=said.append)
    return reader.restore(like, at_most=at_most)[0], said


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
