"""The optimizer and the state at step 0."""

import jax
import jax.numpy as jnp
import optax

from gmsdi_jax.config import OptimizerConfig
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
