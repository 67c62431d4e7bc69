"""One batched call over all devices: rows that are computed apart, spread over a mesh.

Windows, sources, draws and guidance branches are one batch axis, the *rows* of a network call. No
row needs another one, so each device takes its share of them and a result depends neither on how
many devices there are nor on what shares the call. Two layouts spread a call:

``windows``  every device runs the whole computation of its own windows; nothing is exchanged
``rows``     the devices share the rows of every network call, so that even one window uses all of
             them; between two calls the audio is exchanged, never what happens inside the network

`BatchedCall` does it for any function of windows; `make_plan` chooses the layout and how many
windows share a call. Training has a mesh of its own, over all processes (`training_mesh`).
"""

from gmsdi_jax.distributed.ahead import Needs, Pod, compile_for, needs, pod
from gmsdi_jax.distributed.call import BatchedCall, Spread
from gmsdi_jax.distributed.hosts import HostsConfig, is_first, join, wait_for_all
from gmsdi_jax.distributed.mesh import device_mesh, place_everywhere, replicated, split
from gmsdi_jax.distributed.plan import MANY, Layout, Plan, fixed_plan, make_plan
from gmsdi_jax.distributed.rows import over_windows, shard_rows
from gmsdi_jax.distributed.training import (
    place_batch,
    place_state,
    sum_over_rows,
    training_mesh,
    whole,
)

__all__ = [
    "MANY",
    "BatchedCall",
    "HostsConfig",
    "Layout",
    "Needs",
    "Plan",
    "Pod",
    "Spread",
    "compile_for",
    "device_mesh",
    "fixed_plan",
    "is_first",
    "join",
    "make_plan",
    "needs",
    "over_windows",
    "place_batch",
    "place_everywhere",
    "place_state",
    "pod",
    "replicated",
    "shard_rows",
    "split",
    "sum_over_rows",
    "training_mesh",
    "wait_for_all",
    "whole",
]
