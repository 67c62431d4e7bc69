"""Checkpoints: bits in, bits out, and the newest few are kept."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_array_equal

from gmsdi_jax.errors import ConfigError
from gmsdi_jax.train.checkpoint import Checkpoints
from gmsdi_jax.train.state import first_state
from gmsdi_jax.types import TrainState


def state_of(seed):
    rng = np.random.default_rng(seed)
    params = {
        "blocks": {0: {"kernel": jnp.asarray(rng.standard_normal((300, 400)), jnp.float32)}},
        "bias": jnp.asarray(rng.standard_normal(3), jnp.float32),
    }
    state = first_state(params, optax.adam(0.1))
    noisy = jax.tree.map(lambda leaf: leaf + leaf.dtype.type(seed), state)
    return noisy._replace(ema=jax.tree.map(lambda leaf: 2 * leaf, params))


@pytest.fixture
def checkpoints(tmp_path):
    opened = Checkpoints(tmp_path / "checkpoints", keep=2)
    yield opened
    opened.close()


def test_state_and_position_come_back_to_the_bit(checkpoints):
    """Weights, optimizer, average and step, and the position in the data as plain JSON."""
    state, position = state_of(7), {"next_index": 12, "name": "a", "nested": [1, 2.5]}
    checkpoints.save(7, state, position)
    checkpoints.close()
    restored, where = checkpoints.restore(state_of(0))
    assert isinstance(restored, TrainState)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    jax.tree.map(assert_array_equal, restored, state)
    assert int(restored.step) == 7
    assert where == position


def test_saved_state_may_be_donated_at_once(checkpoints):
    """Training goes on in the same memory while the checkpoint is still being written."""
    state = state_of(3)
    copy = jax.tree.map(np.array, state)
    checkpoints.save(3, state, {})
    reuse = jax.jit(lambda s: jax.tree.map(lambda leaf: leaf * 0, s), donate_argnums=0)
    for _ in range(3):
        state = reuse(state)
    checkpoints.close()
    jax.tree.map(assert_array_equal, checkpoints.restore(state_of(0))[0], copy)


def test_newest_few_are_kept(checkpoints, tmp_path):
    """Of four checkpoints the last two stay, and the newest is the one that is restored."""
    for step in (1, 2, 3, 4):
        checkpoints.save(step, state_of(step), {"step": step})
    checkpoints.close()
    assert checkpoints.latest == 4
    assert checkpoints.restore(state_of(0))[1] == {"step": 4}
    kept = {path.name for path in (tmp_path / "checkpoints").iterdir() if path.is_dir()}
    assert kept == {"3", "4"}


def test_a_step_is_saved_once(checkpoints):
    """Saving the newest step again is not an error and changes nothing."""
    checkpoints.save(1, state_of(1), {"first": True})
    checkpoints.save(1, state_of(2), {"first": False})
    checkpoints.close()
    assert checkpoints.restore(state_of(0))[1] == {"first": True}


def test_nothing_to_resume_from(checkpoints):
    """An empty folder is a ConfigError that names it, not a traceback of the library."""
    assert checkpoints.latest is None
    with pytest.raises(ConfigError, match=r"checkpoints: no checkpoint to resume from"):
        checkpoints.restore(state_of(0))


def test_leftovers_of_a_killed_run_are_no_checkpoint(tmp_path):
    """A folder that was being written when the process died is not restored, nor in the way."""
    first = Checkpoints(tmp_path, keep=2)
    first.save(1, state_of(1), {})
    first.close()
    (tmp_path / "2.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    again = Checkpoints(tmp_path, keep=2)
    assert again.latest == 1
    again.save(2, state_of(2), {"step": 2})
    again.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]
    assert again.restore(state_of(0))[1] == {"step": 2}
