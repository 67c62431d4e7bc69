"""What holds on a mesh of eight devices; `test_eight_devices.py` runs it where there are eight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gmsdi_jax.build import Model
from gmsdi_jax.config import ModelConfig, OptimizerConfig
from gmsdi_jax.distributed import place_batch, training, training_mesh
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.models import TagsConfig, UNet1dConfig
from gmsdi_jax.train import make_optimizer, make_step
from gmsdi_jax.train.state import make_state, state_places

UNET = UNet1dConfig(
    channels=16, multipliers=(1, 1, 2), factors=(2, 2), attentions=(0, 1), blocks=(1, 1),
    patch=4, groups=4, heads=2, head_features=8, text_features=8,
)  # fmt: skip


def losses(settings, batches, mesh, steps):
    """The loss curve, and the last state as it lies on the mesh."""
    model, optimizer = Model(settings.model), make_optimizer(settings.optimizer, settings.steps)
    step = make_step(model, settings, optimizer, mesh)
    state = make_state(model, settings, optimizer, mesh)
    source, found = batches(rows=settings.batch), []
    for _ in range(steps):
        batch = next(source)._replace(rows=np.arange(settings.batch, dtype=np.int32))
        state, metrics = step(state, place_batch(batch, mesh))
        found.append(float(metrics["loss"]))
    return np.array(found), state


def test_there_are_eight_devices():
    assert len(jax.devices()) == 8


@pytest.fixture(scope="module")
def one():
    """The curves on one device, by settings."""
    return {}


@pytest.fixture(autouse=True)
def small_arrays_are_shared_too(monkeypatch):
    """The arrays of these models are tiny."""
    monkeypatch.setattr(training, "SMALLEST", 64)


@pytest.mark.parametrize(
    ("network", "fsdp", "accumulate"),
    [
        ("spectral", 1, 1),
        ("spectral", 2, 2),
        ("spectral", 8, 1),
        pytest.param("unet", 4, 2, marks=pytest.mark.slow),
    ],
)
def test_any_mesh_trains_as_one_device(config, batches, one, network, fsdp, accumulate):
    """The loss curve of 50 steps, at a rate at which training is stable.

    Elsewhere any two orders of a sum drift apart; so do weights that the loss does not feel, such
    as a bias before a norm, for Adam makes steps of their rounding.
    """
    changes = {"batch": 16, "steps": 50, "optimizer": OptimizerConfig(rate=1e-3, warmup=5)}
    if network == "unet":
        conditioner = TagsConfig(features=8)
        changes["model"] = ModelConfig(network=UNET, conditioner=conditioner, window=2**10)
    if network not in one:
        alone = training_mesh(devices=jax.devices()[:1])
        one[network] = losses(config(**changes), batches, alone, 50)[0]
    settings = config(**changes, accumulate=accumulate, fsdp=fsdp)
    found, state = losses(settings, batches, training_mesh(fsdp), 50)
    assert_allclose(found, one[network], rtol=1e-5)
    if fsdp > 1:
        for tree in (state.params, state.ema, state.opt_state):
            parts = [
                leaf.size // leaf.addressable_shards[0].data.size for leaf in jax.tree.leaves(tree)
            ]
            assert parts.count(fsdp) >= 8, "large arrays are shared"


def test_what_a_step_exchanges(config, batches):
    """Gradients are scattered to where the state lies, and the new state stays there."""
    settings, mesh = config(batch=8, fsdp=8), training_mesh(8)
    model, optimizer = Model(settings.model), make_optimizer(settings.optimizer, 6)
    state = make_state(model, settings, optimizer, mesh)
    step = make_step(model, settings, optimizer, mesh)
    batch = next(batches(rows=8))._replace(rows=np.arange(8, dtype=np.int32))
    text = step.lower(state, place_batch(batch, mesh)).compile().as_text()
    assert text.count("reduce-scatter(") >= 2
    state, _ = step(state, place_batch(batch, mesh))
    places = jax.tree.leaves(state_places(model, settings, optimizer, mesh))
    for leaf, place in zip(jax.tree.leaves(state), places, strict=True):
        assert leaf.sharding.is_equivalent_to(place, leaf.ndim)


def test_what_does_not_divide_is_refused(config):
    with pytest.raises(ConfigError, match="fsdp is 3"):
        training_mesh(3)
    settings = config(batch=12)
    model, optimizer = Model(settings.model), make_optimizer(settings.optimizer, 6)
    with pytest.raises(ConfigError, match="batch is 12"):
        make_step(model, settings, optimizer, training_mesh())


def test_rows_keep_their_noise_wherever_they_lie(config, batches):
    """The same rows in another order, each with its number: the same loss."""
    settings, mesh = config(batch=8), training_mesh()
    model, optimizer = Model(settings.model), make_optimizer(settings.optimizer, 6)
    step = make_step(model, settings, optimizer, mesh)
    batch = next(batches(rows=8))._replace(rows=jnp.arange(8))
    order = np.array([3, 1, 7, 0, 2, 6, 5, 4])
    found = []
    for rows in (np.arange(8), order):
        moved = jax.tree.map(lambda leaf, rows=rows: np.asarray(leaf)[rows], batch)
        state = make_state(model, settings, optimizer, mesh)
        found.append(float(step(state, place_batch(moved, mesh))[1]["loss"]))
    assert_allclose(found[0], found[1], rtol=1e-6)
