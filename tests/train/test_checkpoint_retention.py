"""Which checkpoints stay: the newest always, whatever the scores say."""

import math

import numpy as np
from train.checkpoint_states import names, save_steps, state_of

from gmsdi_jax.train.checkpoint import Checkpoints
from gmsdi_jax.train.checkpoint.retention import Retention


def random_run(rng):
    """Numbers of checkpoints to keep, and ascending steps with scores, some equal, NaN or None."""
    retention = Retention(
        keep=int(rng.integers(1, 5)),
        period=[None, *range(1, 9)][rng.integers(9)],
        best=int(rng.integers(0, 4)),
    )
    steps = np.cumsum(rng.integers(1, 5, rng.integers(1, 30))).tolist()
    kinds = [None, math.nan, 0.0, *rng.integers(-3, 4, 3).tolist(), *rng.standard_normal(3)]
    return retention, {step: kinds[rng.integers(len(kinds))] for step in steps}


def test_any_run_keeps_what_it_promised(rng):
    """2,000 runs, pruned after every save: what stays is what the whole history asks for."""
    for _ in range(2000):
        retention, history = random_run(rng)
        held = {}
        for step, score in history.items():
            held[step] = score
            held = {s: held[s] for s in retention.kept(held)}
            assert step in held
        steps, real = list(history), [s for s in history.values() if s is not None and s == s]
        assert set(held) == retention.kept(history)
        assert set(steps[-retention.keep :]) <= set(held)
        assert {s for s in steps if retention.period and s % retention.period == 0} <= set(held)
        best = sorted(real, reverse=True)[: retention.best]
        scores = sorted((s for s in held.values() if s is not None and s == s), reverse=True)
        assert scores[: len(best)] == best
        forever = sum(step % retention.period == 0 for step in steps) if retention.period else 0
        assert len(held) <= retention.keep + retention.best + forever


def test_older_ones_stay_where_scores_are_equal():
    """The best checkpoint does not change while nothing is better."""
    assert Retention(keep=1, best=1).kept({1: 0.5, 2: 0.5, 3: 0.5}) == {1, 3}


def test_on_disk_over_two_runs(tmp_path):
    """Newest, best and every fourth; scores are remembered, and the worst newest one is resumed."""
    scores = {1: 0.1, 2: 0.9, 3: 0.3, 4: 0.2, 5: 0.8, 6: 0.1}
    for steps in ((1, 2, 3), (4, 5, 6)):
        checkpoints = Checkpoints(tmp_path, keep=1, period=4, best=1)
        found = checkpoints.resume(state_of(0))
        assert (int(found[0].step) if found else 0) == steps[0] - 1
        for step in steps:
            checkpoints.save(step, state_of(step), {}, score=scores[step])
        checkpoints.close()
        assert checkpoints.latest == steps[-1]
    assert names(tmp_path) == {"2", "4", "6"}


def test_what_cannot_be_deleted_is_said(tmp_path):
    """A step that vanished meanwhile stops nothing; what was set aside is never touched."""
    save_steps(tmp_path, 1, 2)
    (tmp_path / "2").rename(tmp_path / "2.bad")
    events = []
    checkpoints = Checkpoints(tmp_path, keep=1, on_event=events.append)
    (tmp_path / "1").rename(tmp_path / "elsewhere")
    for step in (3, 4):
        checkpoints.save(step, state_of(step), {})
    checkpoints.close()
    assert events == [f"{tmp_path / '1'}: cannot be deleted (No such file or directory)"]
    assert names(tmp_path) == {"2.bad", "elsewhere", "4"}
