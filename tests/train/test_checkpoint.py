"""Checkpoints: bits in, bits out, one writer, and never a step lost in silence."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from train.checkpoint_states import bits, names, save_steps, state_of

from gmsdi_jax import __version__
from gmsdi_jax.errors import ConfigError, OutputError
from gmsdi_jax.train.checkpoint import About, Checkpoints
from gmsdi_jax.types import TrainState


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def test_state_and_position_come_back_to_the_bit(folder):
    """Weights, optimizer, average and step, and the position in the data as plain JSON."""
    checkpoints = Checkpoints(folder, keep=2)
    position = {"next_index": 12, "name": "a", "nested": [1, 2.5, None]}
    checkpoints.save(7, state_of(7), position)
    checkpoints.close()
    restored, where = checkpoints.restore(state_of(0))
    assert isinstance(restored, TrainState)
    assert jax.tree.structure(restored) == jax.tree.structure(state_of(7))
    assert bits(restored) == bits(state_of(7))
    kinds = [[leaf.dtype for leaf in jax.tree.leaves(tree)] for tree in (restored, state_of(7))]
    assert kinds[0] == kinds[1]
    assert where == position


def test_shapes_alone_are_enough_to_restore(folder):
    """No state needs to be made only to be replaced."""
    save_steps(folder, 7)
    shapes = jax.eval_shape(lambda: state_of(0))
    assert bits(Checkpoints(folder, 2).restore(shapes)[0]) == bits(state_of(7))


def test_saved_state_may_be_donated_at_once(folder):
    """Training goes on in the same memory while the checkpoint is still being written."""
    state = state_of(3)._replace(params={"a": jnp.arange(1e5, dtype=jnp.float32)})
    copy = jax.tree.map(np.array, state)
    checkpoints = Checkpoints(folder, keep=2)
    checkpoints.save(3, state, {})
    reuse = jax.jit(
        lambda s: jax.tree.map(lambda leaf: leaf * jnp.zeros((), leaf.dtype), s), donate_argnums=0
    )
    for _ in range(3):
        state = reuse(state)
    checkpoints.close()
    jax.tree.map(assert_array_equal, checkpoints.restore(state)[0], copy)


def test_the_average_alone_beside_a_run_that_writes(folder):
    """For inference: no lock is asked for, nothing is renamed, and nothing can be saved."""
    save_steps(folder, 6, 7)
    with_lock, reader = Checkpoints(folder, 5), Checkpoints(folder, write=False)
    assert with_lock.latest == reader.latest == 7
    average = reader.restore_ema(jax.eval_shape(lambda: state_of(0).ema))
    assert bits(average) == bits(state_of(7).ema)
    with pytest.raises(ConfigError, match=r"ema/kernel is float32\[3\], was float32\[24,48\]"):
        reader.restore_ema({"kernel": jnp.zeros(3)})
    with pytest.raises(OutputError, match="open for reading only"):
        reader.save(8, state_of(8), {})


def test_what_a_checkpoint_says_of_its_run(folder):
    """Configuration, seed and data, to compare before resuming; version, time and score."""
    run = About(seed=3, config={"batch": 4, "model": {"width": [1, 2]}}, data="abc")
    save_steps(folder, 5, about=run)
    checkpoints = Checkpoints(folder, 5, about=run)
    checkpoints.save(6, state_of(6), {}, score=1.5)
    checkpoints.close()
    said = checkpoints.about()
    assert said["time"].endswith("Z")
    assert said == {
        "format": 1,
        "step": 6,
        "seed": 3,
        "config": {"batch": 4, "model": {"width": [1, 2]}},
        "data": "abc",
        "score": 1.5,
        "version": __version__,
        "time": said["time"],
    }
    (folder / "6" / "about" / "metadata").write_text(json.dumps({**said, "seed": 4}))
    assert checkpoints.about()["step"] == 5
    assert Checkpoints(folder / "none", 2).about() is None


def test_newest_few_are_kept(folder):
    """Of four checkpoints the last two stay, and the newest is the one that is restored."""
    checkpoints = Checkpoints(folder, keep=2)
    for step in (1, 2, 3, 4):
        checkpoints.save(step, state_of(step), {"step": step})
        assert checkpoints.latest in (step - 1 or None, step)  # never one that is not complete
    checkpoints.close()
    assert checkpoints.latest == 4
    assert checkpoints.restore(state_of(0))[1] == {"step": 4}
    assert names(folder) == {"3", "4"}


def test_a_step_is_saved_once(folder):
    """Saving a step again, while it is written or later, is no error and changes nothing."""
    checkpoints = Checkpoints(folder, keep=2)
    checkpoints.save(1, state_of(1), {"first": True})
    checkpoints.save(1, state_of(2), {"first": False})
    checkpoints.save(2, state_of(2), {})
    checkpoints.save(1, state_of(2), {"first": False})
    checkpoints.close()
    resumed = Checkpoints(folder, keep=2)
    assert resumed.restore(state_of(0), at_most=1)[1] == {"first": True}
    resumed.save(1, state_of(2), {"first": False})
    resumed.close()
    assert resumed.restore(state_of(0))[1] == {"first": True}


def test_nothing_to_resume_from(folder):
    """An empty folder is a ConfigError that names it, not a traceback of the library."""
    checkpoints = Checkpoints(folder, keep=2)
    assert checkpoints.latest is None
    assert checkpoints.resume(state_of(0)) is None
    with pytest.raises(ConfigError, match=r"checkpoints: no checkpoint to resume from"):
        checkpoints.restore(state_of(0))
    with pytest.raises(ConfigError, match=r"checkpoints: no checkpoint to take weights from"):
        checkpoints.restore_ema(state_of(0).ema)


def test_leftovers_of_a_killed_run_are_no_checkpoint(folder):
    """What was being written or deleted is gone before anything is saved, and not in the way."""
    save_steps(folder, 1)
    for name in ("2.orbax-checkpoint-tmp/state", "0.deleted-17/state"):
        (folder / name).mkdir(parents=True)
    (folder / "3.orbax-checkpoint-tmp").write_text("a file")
    again = Checkpoints(folder, keep=5)
    assert {path.name for path in folder.iterdir()} == {".lock", "1"}
    assert again.latest == 1
    for step in (2, 3):
        (folder / f"{step}.orbax-checkpoint-tmp" / "state").mkdir(parents=True)  # of this run
        again.resume(state_of(0))
        again.save(step, state_of(step), {"step": step})
    again.close()
    assert names(folder) == {"1", "2", "3"}
    assert again.restore(state_of(0))[1] == {"step": 3}


def test_one_run_per_folder(folder):
    """Another one is refused with a line that says who; it may come when the first is gone."""
    first = Checkpoints(folder, keep=2)
    with pytest.raises(ConfigError, match=r"another run writes here \(process \d+ on .*another --"):
        Checkpoints(folder, keep=2, patience=0)
    first.close()
    second = Checkpoints(folder, keep=2, patience=0)
    with pytest.raises(OutputError, match="closed, or open for reading only"):
        first.save(1, state_of(1), {})
    del second
    Checkpoints(folder, keep=2, patience=0).close()


def test_another_run_is_not_written_over(folder):
    """A new run in an old folder is refused at the first step that is there, not passed over."""
    save_steps(folder, 1, 2)
    checkpoints = Checkpoints(folder, keep=5)
    with pytest.raises(ConfigError, match=r"/2: there is a checkpoint of another run: resume it"):
        checkpoints.save(2, state_of(3), {})
    checkpoints.close()
    assert checkpoints.restore(state_of(0))[1] == {"n": 2}


def test_another_model_is_not_damage(folder):
    """Another tree than the saved one: the first five differences, and no older step is tried."""
    save_steps(folder, 1, 2)
    checkpoints = Checkpoints(folder, keep=5)
    like = state_of(0)
    params = {**like.params, "known": jnp.zeros(8, bool), "more": jnp.zeros(3)}
    params["blocks"] = {0: {"kernel": jnp.zeros((24, 48), jnp.bfloat16)}}
    with pytest.raises(ConfigError) as error:
        checkpoints.restore(like._replace(params=params, opt_state=(), ema={}))
    assert str(error.value) == (
        f"{folder / '2'}: the checkpoint is of another model: "
        "ema/kernel is absent, was float32[24,48]; opt_state/0/count is absent, was int32[]; "
        "opt_state/0/mu/kernel is absent, was float32[24,48]; "
        "opt_state/0/nu/kernel is absent, was float32[24,48]; "
        "params/blocks/0/kernel is bfloat16[24,48], was float32[24,48] and 3 more"
    )
    checkpoints.close()
    assert names(folder) == {"1", "2"}


def test_going_back(folder):
    """To a step that was asked for: what is newer is of a branch that was given up."""
    save_steps(folder, 1, 2, 3)
    events = []
    checkpoints = Checkpoints(folder, keep=5, on_event=events.append)
    state, position = checkpoints.restore(state_of(0), at_most=2)
    assert (int(state.step), position) == (2, {"n": 2})
    assert events == [
        f"{folder / '3'}: it is newer than step 2, which was asked for, set aside as 3.bad; "
        "using step 2"
    ]
    checkpoints.save(3, state_of(4), {"n": 4})
    checkpoints.close()
    assert checkpoints.restore(state_of(0))[1] == {"n": 4}
    assert names(folder) == {"1", "2", "3", "3.bad"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"keep": 0}, "keep is 0"), ({"best": -1}, "best is -1"), ({"period": 0}, "period is 0")],
)
def test_numbers_that_make_no_sense(folder, settings, message):
    with pytest.raises(ConfigError, match=message):
        Checkpoints(folder, **settings)


def test_unwritable_folder(tmp_path):
    """A file where the folder should be is an OutputError when the run begins."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match=r"taken/c: cannot write checkpoints \(Not a directory"):
        Checkpoints(tmp_path / "taken" / "c", keep=2)
