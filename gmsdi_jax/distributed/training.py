"""The mesh of training, what lies where on it, and sums over the rows of a batch.

Two axes, over the devices of all processes: the rows of a batch are spread over both, the state
(weights, optimizer, average) over ``fsdp`` alone. A step gathers the weights once, every device
sums the gradients of its own rows, and the sums are added while they are scattered to where the
state lies:

    weights   fsdp shards --all-gather--> whole, on every device
    gradient  own rows --reduce-scatter over fsdp, all-reduce over data--> fsdp shards

So memory for the state falls with ``fsdp``, and what is exchanged in a step is about twice the
weights, whatever the length of the windows. The exchange is written out (`jax.shard_map`) rather
than left to the partitioner, which gathers all rows before a Fourier transform. The rules that
place the state are data, outside the model: a path and a shape say where an array lies.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from gmsdi_jax.errors import ConfigError

DATA, FSDP = "data", "fsdp"
ROWS = PartitionSpec((DATA, FSDP))
"""Rows of a batch: over all devices."""

WIDEST = "widest"
Rules = Sequence[tuple[str, str | PartitionSpec]]
RULES: Rules = ((r"", WIDEST),)
"""Pairs of a pattern, searched in paths like ``params/network/down/0/kernel``, and where such
arrays lie; the first that matches counts. ``widest`` is the longest axis that divides by fsdp."""

SMALLEST = 2**14
"""Arrays of fewer elements lie whole on every device."""


def training_mesh(fsdp: int = 1, devices: Sequence[Any] | None = None) -> Mesh:
    """All devices of all processes, as ``data`` x ``fsdp``.

    Raises:
        ConfigError: ``fsdp`` does not divide their number.
    """
    chosen = jax.devices() if devices is None else list(devices)
    if fsdp < 1 or len(chosen) % fsdp:
        raise ConfigError(f"fsdp is {fsdp}: it must divide the {len(chosen)} devices")
    return Mesh(np.asarray(chosen).reshape(-1, fsdp), (DATA, FSDP))


def place_state(shapes: PyTree, mesh: Mesh, rules: Rules = RULES) -> PyTree:
    """Where each array of a state lies; optimizer and average lie as the weights do.

    Raises:
        ConfigError: no rule matches a path, or one does not fit the shape.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: NamedSharding(mesh, _spec(path_name(path), leaf.shape, mesh, rules)),
        shapes,
    )


def place_batch(batch: PyTree, mesh: Mesh) -> PyTree:
    """This process's rows as its share of the global batch, on its devices."""
    rows = NamedSharding(mesh, ROWS)
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(rows, np.asarray(leaf)), batch
    )


def whole(tree: PyTree, mesh: Mesh) -> PyTree:
    """The arrays of a state, complete on every device."""
    return jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, PartitionSpec()))(tree)


def sum_over_rows(
    run: Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree]], mesh: Mesh, placed: PyTree
) -> Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree]]:
    """``run(weights, rows, shared) -> (gradient, other)``, summed over the rows of all devices.

    Args:
        run: sums over the rows that it is given; ``shared`` is the same for all.
        mesh: of training.
        placed: where the weights, and so their gradient, lie (`place_state`).
    """
    if mesh.size == 1:
        return run
    specs = jax.tree.map(lambda sharding: sharding.spec, placed)

    def share(weights: PyTree, rows: PyTree, shared: PyTree) -> tuple[PyTree, PyTree]:
        gradient, other = run(weights, rows, shared)
        return jax.tree.map(_scatter, gradient, specs), jax.lax.psum(other, (DATA, FSDP))

    everywhere = PartitionSpec()
    return jax.shard_map(
        share,
        mesh=mesh,
        in_specs=(everywhere, ROWS, everywhere),
        out_specs=(specs, everywhere),
        check_vma=False,
    )


def path_name(path: tuple[Any, ...]) -> str:
    """A path in a tree, as ``params/network/down/0/kernel``."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _scatter(leaf: jax.Array, spec: PartitionSpec) -> jax.Array:
    """The sum over all devices, of which each keeps its part."""
    if FSDP in spec:
        axis = spec.index(FSDP)
        leaf = jax.lax.psum_scatter(leaf, FSDP, scatter_dimension=axis, tiled=True)
        return jax.lax.psum(leaf, DATA)
    return jax.lax.psum(leaf, (DATA, FSDP))


def _spec(path: str, shape: tuple[int, ...], mesh: Mesh, rules: Rules) -> PartitionSpec:
    found = next((spec for pattern, spec in rules if re.search(pattern, path)), None)
    if found is None:
        raise ConfigError(f"no rule says where {path} lies: end the rules with ('', 'widest')")
    if isinstance(found, PartitionSpec):
        return _fitting(path, shape, mesh, found)
    size = mesh.shape[FSDP]
    fits = [axis for axis, length in enumerate(shape) if length % size == 0]
    if size == 1 or int(np.prod(shape)) < SMALLEST or not fits:
        return PartitionSpec()
    widest = max(fits, key=lambda axis: shape[axis])
    return PartitionSpec(*[FSDP if axis == widest else None for axis in range(len(shape))])


def _fitting(path: str, shape: tuple[int, ...], mesh: Mesh, spec: PartitionSpec) -> PartitionSpec:
    """A rule's own spec, if it shards by fsdp alone and divides the shape."""
    named = [axis for axis, name in enumerate(spec) if name is not None]
    if len(spec) > len(shape) or any(spec[axis] != FSDP for axis in named) or len(named) > 1:
        raise ConfigError(f"{path} of shape {shape} cannot lie as {spec}: name fsdp once")
    if any(shape[axis] % mesh.shape[FSDP] for axis in named):
        raise ConfigError(f"{path} of shape {shape} does not divide by fsdp {mesh.shape[FSDP]}")
    return spec
