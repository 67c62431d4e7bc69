"""A training step before there is anything to train: shapes, places, memory, what is exchanged.

The step is `make_step`, the very one that trains, compiled for shapes: on the devices that are
here, or on those of a `Pod`. Neither data nor encoder is read, and nothing is written.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import PyTree

from gmsdi_jax.build import Model
from gmsdi_jax.config import TrainConfig
from gmsdi_jax.distributed import Needs, Pod, compile_for, needs, training_mesh
from gmsdi_jax.distributed.training import DATA, FSDP, ROWS, path_name
from gmsdi_jax.train.state import make_optimizer, state_shapes
from gmsdi_jax.train.step import make_step
from gmsdi_jax.types import Batch, TrainState

REMEDY = "lower --batch, raise --fsdp or --accumulate"
GIB, MIB = 2**30, 2**20


@dataclass(frozen=True)
class Ahead:
    """A compiled training step that never ran."""

    config: TrainConfig
    """The run."""
    mesh: Mesh
    """The devices; they need not be here."""
    state: TrainState
    """Shapes, types and places."""
    needs: Needs
    """What the compiler says."""
    limit: int | None
    """Bytes of one device; None where nothing is known."""


def compile_step(config: TrainConfig, target: Pod | None = None) -> Ahead:
    """The training step of a run, compiled for `target`, or for all devices here.

    Raises:
        ConfigError: it does not fit, or batch or fsdp do not divide.
        UnavailableError: the compiler does not say what it needs.
    """
    mesh = training_mesh(config.fsdp, target.devices if target else None)
    model, optimizer = Model(config.model), make_optimizer(config.optimizer, config.steps)
    state = state_shapes(model, config, optimizer, mesh)
    limit = target.limit if target else _memory_here(mesh)
    step = make_step(model, config, optimizer, mesh)
    lowered = step.lower(state, batch_shapes(model, config, mesh))
    return Ahead(config, mesh, state, needs(compile_for(lowered.compile, limit, REMEDY)), limit)


def batch_shapes(model: Model, config: TrainConfig, mesh: Mesh) -> Batch:
    """Shapes and places of a training batch, as the data and the encoder will make it."""
    count = config.batch
    channels = getattr(config.model.network, "audio_channels", 1)
    audio = jax.ShapeDtypeStruct((count, config.window, channels), jnp.float32)
    prompt = model.prompt_shapes(count)
    rows = jax.ShapeDtypeStruct((count,), jnp.int32)
    batch = Batch(audio, audio if config.windows.mixing else None, prompt, rows)  # type: ignore[arg-type]
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, ROWS)
        ),
        batch,
    )


def report(ahead: Ahead, parameters: bool = True) -> Iterator[str]:
    """Lines that tell a person what the step needs.

    Args:
        ahead: the compiled step.
        parameters: where each group of weights lies, too.
    """
    config, mesh, need = ahead.config, ahead.mesh, ahead.needs
    seconds = config.batch * config.window / config.model.sample_rate
    processes = len({device.process_index for device in mesh.devices.flat})
    yield (
        f"mesh: data {mesh.shape[DATA]} x fsdp {mesh.shape[FSDP]}, {mesh.size} devices "
        f"({mesh.devices.flat[0].device_kind}) of {processes} processes"
    )
    yield (
        f"batch: {config.batch} windows, {config.batch // mesh.size} per device in "
        f"{config.accumulate} parts; {seconds:.1f} s of audio per step"
    )
    if parameters:
        yield from _parameters(ahead.state.params)
    averages = ahead.state.ema, ahead.state.profiles
    for name, tree in (
        ("weights", ahead.state.params),
        ("optimizer", ahead.state.opt_state),
        ("averages", averages),
    ):
        yield f"{name}: {_size(tree, whole=True)} in all, {_size(tree)} per device"
    if need.operations is None:
        yield "operations: this compiler does not count them"
    else:
        yield (
            f"operations: {need.operations / 1e12:.4g} TFLOP per device, "
            f"{need.operations * mesh.size / 1e12:.4g} in all, as the compiler counts them (what "
            "it hands to libraries is not in it)"
        )
    yield from need.lines(ahead.limit)


def _parameters(params: PyTree) -> Iterator[str]:
    """A line for the arrays whose paths differ in numbers alone, of one shape and one place."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = re.sub(r"(?<=/)\d+(?=/|$)", "*", path_name(path))
        axes = [axis or "-" for axis in leaf.sharding.spec]
        place = "(" + ", ".join(axes) + ")" if axes else "whole"
        groups.setdefault((name, str(leaf.shape), place), []).append(_bytes(leaf))
    yield "parameters: arrays, path, shape, place, bytes per device"
    for (name, shape, place), sizes in groups.items():
        yield f"  {len(sizes):>3} x {name} {shape} {place} {sum(sizes):,}"


def _bytes(leaf: Any) -> int:
    """On one device."""
    return int(np.prod(leaf.sharding.shard_shape(leaf.shape))) * leaf.dtype.itemsize


def _size(tree: PyTree, whole: bool = False) -> str:
    leaves = jax.tree.leaves(tree)
    total = sum(leaf.size * leaf.dtype.itemsize if whole else _bytes(leaf) for leaf in leaves)
    return f"{total / GIB:.3f} GiB" if total >= GIB / 10 else f"{total / MIB:.3f} MiB"


def _memory_here(mesh: Mesh) -> int | None:
    """Of an accelerator; a CPU's memory is shared, and nobody's."""
    device = mesh.local_devices[0]
    return (device.memory_stats() or {}).get("bytes_limit") if device.platform != "cpu" else None
