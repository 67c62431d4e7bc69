"""The learning rate over a run, read off the updates of Adam under a constant gradient."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.config import AveragesConfig, OptimizerConfig
from gmsdi_jax.train.state import first_state, make_optimizer


def rates(config, steps, gradients=None):
    """Adam's step under a constant gradient is exactly the rate, downhill."""
    optimizer = make_optimizer(config, steps)
    params = jnp.zeros(())
    state = optimizer.init(params)
    found = []
    for step in range(steps):
        gradient = jnp.asarray(1.0 if gradients is None else gradients[step])
        updates, state = optimizer.update(gradient, state, params)
        found.append(-float(updates))
    return np.array(found)


def test_trapezoid():
    """From 0 over `warmup` steps to the rate, flat, then down towards a thirtieth at the end."""
    found = rates(OptimizerConfig(rate=0.3, warmup=4, decay=0.5), 20)
    assert_allclose(found[:4], 0.3 * np.arange(4) / 4, atol=1e-6)
    assert_allclose(found[4:11], 0.3, rtol=1e-4)
    fall = 0.3 + (0.01 - 0.3) * np.arange(10) / 10
    assert_allclose(found[10:], fall, rtol=1e-4)


def test_no_warmup_starts_at_the_rate():
    """Without a warm-up the first step has the full rate."""
    assert_allclose(rates(OptimizerConfig(rate=0.3, warmup=0), 5)[:3], 0.3, rtol=1e-4)


@pytest.mark.parametrize(("clip", "same"), [(1.0, True), (1e6, False)])
def test_gradients_are_clipped(clip, same):
    """A spike of the gradient counts as one of norm `clip`: the steps after it are ordinary."""
    spike = [1.0] * 5 + [1000.0] + [1.0] * 4
    config = OptimizerConfig(rate=0.3, warmup=0, decay=0.1, clip=clip)
    found = rates(config, 10, spike)
    assert np.allclose(found[:9], 0.3, rtol=1e-3) == same


def test_weight_decay_is_decoupled():
    """AdamW: without a gradient the weights shrink by rate times decay."""
    optimizer = make_optimizer(OptimizerConfig(rate=0.1, warmup=0, weight_decay=0.5), 10)
    params = {"w": jnp.asarray([2.0, -4.0])}
    updates, _ = optimizer.update({"w": jnp.zeros(2)}, optimizer.init(params), params)
    assert_allclose(optax.apply_updates(params, updates)["w"], [1.9, -3.8], rtol=1e-5)


def test_averages_start_at_the_weights_in_their_own_memory(config):
    """Step 0: averages and weights are equal but share no buffer, for steps donate them all."""
    settings = config(averages=AveragesConfig(widths=(0.05, 0.1), every=3))
    params = {"w": jnp.ones(3)}
    state = first_state(params, settings, make_optimizer(OptimizerConfig(), 10))
    assert int(state.step) == 0
    params["w"].delete()
    for average in (state.ema, *state.profiles):
        assert_array_equal(average["w"], [1, 1, 1])
        average["w"].delete()
