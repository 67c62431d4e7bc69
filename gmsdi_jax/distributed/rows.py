"""Functions of rows, spread over a mesh: what a device computes, it computes without the others.

`jax.shard_map` and not a sharding constraint: left to itself, XLA's partitioner gathers all rows on
every device before a Fourier transform. Weights may be closed over, traced or not; every device
holds all of them, and their gradient is the sum over all rows, as on one device. Which values
differ between devices is left unchecked (``check_vma``): the check refuses a network that starts an
inner loop from constants.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, PyTree

from gmsdi_jax.distributed.mesh import ROWS
from gmsdi_jax.types import Text, TextDenoiser

Function = TypeVar("Function", bound=Callable[..., PyTree])


def over_windows(run: Function, mesh: Mesh) -> Function:
    """`run`, with every device on its own share of the leading axis of all arguments and results.

    `run` must treat windows apart; nothing is exchanged. They are padded to a multiple of the
    devices by repeating the last one, whose answers are cut off again: zeros could be NaN to a
    network, and NaN times the gradient zero is NaN. On one device this is `run` itself.
    """
    if mesh.size == 1:
        return run
    rows = PartitionSpec(ROWS)
    spread = jax.shard_map(run, mesh=mesh, in_specs=rows, out_specs=rows, check_vma=False)

    def sharded(*arrays: PyTree) -> PyTree:
        count = jax.tree.leaves(arrays)[0].shape[0]
        return jax.tree.map(lambda leaf: leaf[:count], spread(*_padded(arrays, mesh.size)))

    return sharded  # type: ignore[return-value]


def shard_rows(denoise: TextDenoiser, mesh: Mesh) -> TextDenoiser:
    """`denoise`, with its rows spread over the mesh: one network call keeps all devices busy.

    Sources, draws and guidance branches are rows by the time the network is called, so a single
    window is spread too. Before and after the call every device holds all rows: each call costs one
    exchange of its answer, and the rules around it (sums over sources, filters) cost none. On one
    device this is `denoise` itself.
    """
    if mesh.size == 1:
        return denoise

    def share(
        x: Float[Array, "b t c"], sigma: Float[Array, "*b"], text: Text
    ) -> Float[Array, "b t c"]:
        rows = _padded((x, jnp.broadcast_to(sigma, x.shape[:1]), text), mesh.size)
        shares = jax.tree.map(lambda a: a.reshape(mesh.size, -1, *a.shape[1:]), rows)
        mine = jax.tree.map(lambda a: a[jax.lax.axis_index(ROWS)], shares)
        return jax.lax.all_gather(denoise(*mine), ROWS, tiled=True)[: x.shape[0]]

    whole = PartitionSpec()
    return jax.shard_map(share, mesh=mesh, in_specs=whole, out_specs=whole, check_vma=False)


def _padded(arrays: PyTree, multiple: int) -> PyTree:
    """`arrays` whose last row is repeated until there is a multiple of so many rows."""

    def pad(leaf: Array) -> Array:
        extra = -leaf.shape[0] % multiple
        return jnp.concatenate([leaf, jnp.repeat(leaf[-1:], extra, axis=0)]) if extra else leaf

    return jax.tree.map(pad, arrays)
