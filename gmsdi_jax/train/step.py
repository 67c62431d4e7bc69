"""One training step: a pure function of the state and a batch, compiled once, its state donated.

All randomness comes from ``fold_in(seed, step)`` and the row's number in the global batch, so a
resumed run, or one on other hardware, draws the same noise for the same example.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Key, PyTree

from gmsdi_jax.build import Model
from gmsdi_jax.config import TrainConfig
from gmsdi_jax.diffusion import denoising_loss, is_mixed, lognormal
from gmsdi_jax.distributed import sum_over_rows, training_mesh
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.models import perturb
from gmsdi_jax.train.averages import advance, blend, warming
from gmsdi_jax.train.guard import judge, keep
from gmsdi_jax.train.state import state_places
from gmsdi_jax.types import Batch, Params, Prompt, Text, TrainState

SIGMA_EDGES = (0.02, 0.05, 0.12)
"""Noise levels that part the buckets in which the loss is reported."""

MEANS = ("loss", "gradient", "update", "weights")
"""Metrics of a step that a line of the log holds the means of."""

_TEXT = 2**31 - 1  # folded into a row's key: the noise of its text

Metrics = dict[str, Float[Array, "*shape"]]
StepFunction = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def row_draws(
    key: Key[Array, ""], config: TrainConfig, rows: Int[Array, " b"], audio: Float[Array, "b t c"]
):
    """Noise levels ``[b]``, unit noise ``[b t c]`` and null draws ``[b]``, each of its row alone.

    ``rows`` are the rows' numbers in the global batch.
    """

    def row(number: Array, like: Array):
        levels, noise, null = jax.random.split(jax.random.fold_in(key, number), 3)
        sigma = lognormal(levels, (), config.sigma_mean, config.sigma_std)
        unit = jax.random.normal(noise, like.shape, like.dtype)
        return sigma, unit, jax.random.bernoulli(null, config.null)

    return jax.vmap(row)(rows, audio)


def drop_text(prompt: Prompt, drop: Array) -> Prompt:
    """Rows in `drop` lose all tokens: their text becomes the learned null."""
    return prompt._replace(mask=prompt.mask & ~drop[:, None])


def move_text(key: Key[Array, ""], prompt: Prompt, noise: float, rows: Int[Array, " b"]) -> Prompt:
    """Embedded text in noise (`models.perturb`), drawn row by row."""
    if not noise or not isinstance(prompt, Text):
        return prompt

    def row(number: Array, text: Text) -> Text:
        return perturb(jax.random.fold_in(jax.random.fold_in(key, number), _TEXT), text, noise)

    return jax.vmap(row)(rows, prompt)


def make_step(
    model: Model,
    config: TrainConfig,
    optimizer: optax.GradientTransformation,
    mesh: Mesh | None = None,
):
    """The compiled step ``(state, batch) -> (state, metrics)``.

    Metrics are the mean loss, the norms of gradient, update and weights, per bucket of sigma the
    summed loss and the number of rows, with plain and mixed rows apart, and whether the step was
    finite and no spike: one that was not leaves the weights and all that follows them alone.

    Args:
        model: what is trained.
        config: the run.
        optimizer: what makes updates of gradients.
        mesh: the devices (`training_mesh`); by default one.

    Raises:
        ConfigError: the batch does not divide among the devices, or their rows into parts.
    """
    mesh = mesh or training_mesh(devices=jax.local_devices()[:1])
    _check_batch(config, mesh)
    placed = state_places(model, config, optimizer, mesh)

    def row_losses(params: Params, batch: Batch, key: Array):
        mixed = is_mixed(batch.audio, batch.interference)
        assert batch.rows is not None
        sigma, noise, drop = row_draws(key, config, batch.rows, batch.audio)
        strength = getattr(config.model.conditioner, "noise", 0.0)
        prompt = move_text(key, batch.prompt, strength, batch.rows)
        rows = denoising_loss(
            model.denoiser(params),
            batch.audio,
            batch.interference,
            model.embed(params, drop_text(prompt, drop & ~mixed)),
            sigma,
            noise,
            config.model.sigma_data,
            config.mixed_cap,
            math.inf if config.plain_cap is None else config.plain_cap,
        )
        return rows.sum() / config.batch, {"loss": rows.sum() / config.batch} | _buckets(
            rows, sigma, mixed
        )

    gradient = in_parts(jax.grad(row_losses, has_aux=True), config.accumulate)
    gradient = sum_over_rows(gradient, mesh, placed.params)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        if batch.rows is None:
            batch = batch._replace(rows=jnp.arange(config.batch))
        grads, metrics = gradient(state.params, batch, key)
        norm = optax.tree.norm(grads)
        verdict, recent = judge(state.recent, metrics["loss"], norm, config.guard)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params: Any = optax.apply_updates(state.params, updates)
        number = state.step + 1
        moved = TrainState(
            number,
            params,
            opt_state,
            blend(state.ema, params, warming(state.step, config.optimizer.ema)),
            advance(state.profiles, params, number, config.averages.widths),
            recent,
        )
        metrics |= {
            "gradient": norm,
            "update": optax.tree.norm(updates),
            "weights": optax.tree.norm(params),
            **verdict,
        }
        return keep(moved, state._replace(step=number, recent=recent), verdict), metrics

    if mesh.size == 1:
        return jax.jit(step, donate_argnums=0)
    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.jit(step, donate_argnums=0, out_shardings=(placed, everywhere))


def in_parts(gradient: Callable[..., PyTree], parts: int) -> Callable[..., PyTree]:
    """`gradient` of a batch in so many parts, one after the other, and the sum of its answers."""
    if parts == 1:
        return gradient

    def summed(params: Params, batch: Batch, key: Array) -> PyTree:
        def take(leaf: Array) -> Array:
            return leaf.reshape(parts, -1, *leaf.shape[1:])

        def add(total: PyTree, part: Batch) -> tuple[PyTree, None]:
            return jax.tree.map(jnp.add, total, gradient(params, part, key)), None

        split = jax.tree.map(take, batch)
        shapes = jax.eval_shape(gradient, params, jax.tree.map(lambda leaf: leaf[0], split), key)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.scan(add, zeros, split)[0]

    return summed


def _check_batch(config: TrainConfig, mesh: Mesh) -> None:
    if config.batch % (mesh.size * config.accumulate):
        raise ConfigError(
            f"batch is {config.batch}: make it a multiple of {mesh.size} devices x accumulate "
            f"{config.accumulate}"
        )


def _buckets(rows: Array, sigma: Array, mixed: Array) -> Metrics:
    index = jnp.searchsorted(jnp.asarray(SIGMA_EDGES, sigma.dtype), sigma)
    where = jax.nn.one_hot(index, len(SIGMA_EDGES) + 1, dtype=rows.dtype)
    kinds = jnp.stack([~mixed, mixed]).astype(rows.dtype)
    return {
        "bucket_loss": jnp.einsum("mb,bs,b->ms", kinds, where, rows),
        "bucket_rows": jnp.einsum("mb,bs->ms", kinds, where),
    }


def report(metrics: list[dict[str, Any]]) -> dict[str, float]:
    """The means over some steps, as plain numbers: loss, norms, loss per bucket.

    Steps that were left out count only under ``skipped``, which says how many they were.
    """
    host = [{k: np.asarray(v, np.float64) for k, v in m.items()} for m in metrics]
    skipped = [m for m in host if m["spike"] or not m["finite"]]
    line = {"skipped": float(len(skipped))} if skipped else {}
    host = [m for m in host if m["finite"] and not m["spike"]]
    if not host:
        return line
    line |= {k: float(np.mean([m[k] for m in host])) for k in MEANS}
    loss = np.sum([m["bucket_loss"] for m in host], axis=0)
    rows = np.sum([m["bucket_rows"] for m in host], axis=0)
    names = [f"<{edge:g}" for edge in SIGMA_EDGES] + [f">{SIGMA_EDGES[-1]:g}"]
    for kind, name in enumerate(("plain", "mixed")):
        for bucket, label in enumerate(names):
            if rows[kind, bucket]:
                line[f"{name} sigma{label}"] = float(loss[kind, bucket] / rows[kind, bucket])
    return line
