"""The optimizer and the state at step 0."""

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from gmsdi_jax.build import Model
from gmsdi_jax.config import OptimizerConfig, TrainConfig
from gmsdi_jax.distributed import place_state
from gmsdi_jax.train.guard import none_seen
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


def first_state(
    params: Params, config: TrainConfig, optimizer: optax.GradientTransformation
) -> TrainState:
    """Step 0; the averages start at the weights themselves."""

    def average() -> Params:
        return jax.tree.map(jnp.copy, params)  # its own buffers: the step donates the state

    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        ema=average(),
        profiles=tuple(average() for _ in config.averages.widths),
        recent=none_seen(config.guard),
    )


def state_places(
    model: Model, config: TrainConfig, optimizer: optax.GradientTransformation, mesh: Mesh
) -> TrainState:
    """Where every array of the state lies on the mesh: shardings in the shape of a state."""
    return jax.tree.map(lambda leaf: leaf.sharding, state_shapes(model, config, optimizer, mesh))


def state_shapes(
    model: Model, config: TrainConfig, optimizer: optax.GradientTransformation, mesh: Mesh
) -> TrainState:
    """Shapes, types and places of the state: what a checkpoint is read into."""
    shapes = jax.eval_shape(lambda params: first_state(params, config, optimizer), model.shapes)
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        shapes,
        place_state(shapes, mesh),
    )


def make_state(
    model: Model, config: TrainConfig, optimizer: optax.GradientTransformation, mesh: Mesh
) -> TrainState:
    """The state at step 0, made where it lies: no device and no host ever holds all of it."""
    make = jax.jit(
        lambda key: first_state(model.init(key), config, optimizer),
        out_shardings=state_places(model, config, optimizer, mesh),
    )
    return make(jax.random.key(config.seed))
