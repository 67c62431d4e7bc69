"""Compiling for a machine that is not here: the compiler says what a program needs before it runs.

The TPU compiler comes with ``pip install "jax[tpu]"`` and needs no TPU. Only shapes are compiled,
never arrays.
"""

import os
from functools import lru_cache

import jax
from jax.experimental import topologies
from jaxtyping import PyTree

_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-16",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


def on_one_chip(tree: PyTree, topology: str = "v5e:2x2") -> PyTree:
    """Shapes and types, placed on one chip of a TPU: what a function can be compiled for there.

    Args:
        tree: anything with shapes and types.
        topology: of the TPU, such as ``v5e:2x2``, ``v5p:2x2x1`` or ``v6e:2x2``.

    Raises:
        RuntimeError: there is no compiler for it, or no such topology.
    """
    place = _chip(topology)
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), tree
    )


@lru_cache  # two descriptions of one topology are two machines to jax
def _chip(topology: str) -> jax.sharding.Sharding:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    chip = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices[0]
    return jax.sharding.SingleDeviceSharding(chip)
