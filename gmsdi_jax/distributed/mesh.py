"""The mesh of inference: one axis, ``rows``, over the devices of this process."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

ROWS = "rows"
"""The only axis: which device computes which rows."""


def device_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of one axis over `devices` of `jax.devices()`; by default all of this process.

    Not all of a cluster: every host separates songs of its own, and waits for no other.
    """
    return Mesh(np.asarray(jax.local_devices() if devices is None else devices), (ROWS,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on every device: weights, texts."""
    return NamedSharding(mesh, PartitionSpec())


def place_everywhere(tree: PyTree, mesh: Mesh) -> PyTree:
    """`tree` with a copy on every device; of a tree of shapes, the shapes with that place."""
    place, leaves = replicated(mesh), jax.tree.leaves(tree)
    if not any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves):
        return jax.device_put(tree, place)
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), tree
    )


def split(mesh: Mesh) -> NamedSharding:
    """Equal shares of the leading axis, which must be a multiple of the devices."""
    return NamedSharding(mesh, PartitionSpec(ROWS))
