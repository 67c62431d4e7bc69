"""What the paper's model needs: memory and time of one forward pass and one training step.

    python -m experiments.paper_scale forward --preset paper-slakh
    python -m experiments.paper_scale step --preset paper-slakh

Both run on this machine, on random weights and noise, and print the peak memory of the process.
Numbers and hardware stand in ``docs/models.md``; what a TPU needs, ``experiments.pods`` prints.
"""

import argparse
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gmsdi_jax.build import Model
from gmsdi_jax.config import TrainConfig
from gmsdi_jax.presets import PRESETS
from gmsdi_jax.train.state import first_state, make_optimizer
from gmsdi_jax.train.step import make_step
from gmsdi_jax.types import Batch, Text, no_text

GIB = 2**30


def training(args: argparse.Namespace) -> TrainConfig:
    """A run of the preset with the batch that is asked for."""
    model = PRESETS[args.preset]()
    network = replace(model.network, remat=not args.keep)  # type: ignore[arg-type]
    return TrainConfig(
        data=Path("shards"),
        out=Path("runs/paper"),
        model=replace(model, network=network),
        window=model.window,
        batch=args.batch[0],
    )


def batch_of(config: TrainConfig, rows: int) -> Batch:
    """Shapes of a training batch, with text as the preset's encoder gives it."""
    conditioner, channels = config.model.conditioner, config.model.network.audio_channels  # type: ignore
    audio = jax.ShapeDtypeStruct((rows, config.window, channels), jnp.float32)
    if conditioner.features is None:
        return Batch(audio, None, jax.eval_shape(lambda: no_text(rows)))  # type: ignore[arg-type]
    tokens, features = conditioner.tokens, conditioner.features  # type: ignore[union-attr]
    embedding = jax.ShapeDtypeStruct((rows, tokens, features), jnp.float32)
    text = Text(embedding, jax.ShapeDtypeStruct((rows, tokens), bool))  # type: ignore[arg-type]
    return Batch(audio, None, text)  # type: ignore[arg-type]


def filled(shapes: Any) -> Any:
    """Noise at a tenth of full scale, and masks that are true."""
    rng = np.random.default_rng(0)

    def fill(leaf: Any) -> jax.Array:
        if leaf.dtype == bool:
            return jnp.ones(leaf.shape, bool)
        return jnp.asarray(0.1 * rng.standard_normal(leaf.shape, np.float32))

    return jax.tree.map(fill, shapes)


def forward(args: argparse.Namespace) -> None:
    """One denoiser evaluation."""
    config = training(args)
    model = Model(config.model)
    params = model.init(jax.random.key(0))
    batch = filled(batch_of(config, args.batch[0]))
    sigma = jnp.full(args.batch[0], 0.1)

    @jax.jit
    def run(params, batch: Batch):
        text = batch.prompt if isinstance(batch.prompt, Text) else no_text(args.batch[0])
        return model.denoiser(params)(batch.audio, sigma, text)

    timed("forward", lambda: run(params, batch), params)


def step(args: argparse.Namespace) -> None:
    """One training step: loss, gradient, Adam, the average of the weights."""
    config = training(args)
    model = Model(config.model)
    optimizer = make_optimizer(config.optimizer, config.steps)
    state = first_state(model.init(jax.random.key(0)), config, optimizer)
    batch = filled(batch_of(config, args.batch[0]))
    run = make_step(model, config, optimizer)
    parameters = state.params
    timed("training step", lambda: run(state, batch)[1]["loss"], parameters)


def timed(name: str, run: Any, params: Any) -> None:
    """Runs once and prints size, seconds and the peak memory of the process."""
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    started = time.perf_counter()
    answer = np.asarray(jax.block_until_ready(run()))
    spent = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    print(
        f"{name}: {count:,} weights, {spent:.1f} s with compilation, peak memory {peak:.2f} GiB, "
        f"{'finite' if np.isfinite(answer).all() else 'NOT FINITE'}"
    )


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=["forward", "step"])
    parser.add_argument("--preset", choices=list(PRESETS), default="paper-slakh")
    parser.add_argument("--batch", type=int, nargs="+", default=[1], help="windows per step")
    parser.add_argument("--keep", action="store_true", help="no rematerialisation")
    args = parser.parse_args()
    {"forward": forward, "step": step}[args.what](args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
