"""The optimizer and the state at step 0."""

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from gmsdi_jax.build import Model
from gmsdi_jax.config import OptimizerConfig
from gmsdi_jax.distributed import place_state
from gmsdi_jax.types import Params, TrainState


def make_optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """Clipping by global norm, then AdamW under the trapezoid of `config` over `steps`."""
    decay = max(1, round(config.decay * steps))
    rate = optax.join_schedules(
        [
            optax.linear_schedule(0.0, config.rate, config.warmup),
            optax.constant_schedule(config.rate),
            optax.linear_schedule(config.rate, config.rate / 30, decay),
        ],
        [config.warmup, max(config.warmup, steps - decay)],
    )
    return optax.chain(
        optax.clip_by_global_norm(config.clip),
        optax.adamw(rate, config.beta1, config.beta2, weight_decay=config.weight_decay),
    )


def first_state(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """Step 0; the average starts at the weights themselves."""
    average = jax.tree.map(jnp.copy, params)  # its own buffers: the step donates the state
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), average)


def state_places(model: Model, optimizer: optax.GradientTransformation, mesh: Mesh) -> TrainState:
    """Where every array of the state lies on the mesh: shardings in the shape of a state."""
    shapes = jax.eval_shape(lambda params: first_state(params, optimizer), model.shapes)
    return place_state(shapes, mesh)


def make_state(
    model: Model, optimizer: optax.GradientTransformation, seed: int, mesh: Mesh
) -> TrainState:
    """The state at step 0, made where it lies: no device and no host ever holds all of it."""
    make = jax.jit(
        lambda key: first_state(model.init(key), optimizer),
        out_shardings=state_places(model, optimizer, mesh),
    )
    return make(jax.random.key(seed))
