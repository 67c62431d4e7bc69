"""Orbax behind a few calls: one step written in the background, its items read one by one.

Only public names of Orbax are used. Reading waits for no other process: each reads its own shards
and JSON, so that one that fails leaves none waiting at a barrier; they agree afterwards
(`agreement`).
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from gmsdi_jax.train.checkpoint.quiet import keep_orbax_quiet

STATE, POSITION, ABOUT, MANIFEST = "state", "position", "about", "manifest"
"""The items of a checkpoint."""


class Store:
    """Writes and reads the folder of a step."""

    def __init__(self) -> None:
        """Nothing is opened before it is needed."""
        keep_orbax_quiet()
        self._writer: ocp.AsyncCheckpointer | None = None

    def write(self, path: Path, state: dict[str, Any], items: Mapping[str, Any]) -> None:
        """Starts to write a step, once the arrays are copied; errors surface in `errors`."""
        if self._writer is None:
            # Folders are made at once: a thread that cannot make one leaves others waiting for it.
            options = ocp.AsyncOptions(create_directories_asynchronously=False)
            composite = ocp.CompositeOptions(async_options=options)
            handler = ocp.CompositeCheckpointHandler(composite_options=composite)
            self._writer = ocp.AsyncCheckpointer(handler, async_options=options)
        saved = {name: ocp.args.JsonSave(item) for name, item in items.items()}  # type: ignore
        saved[STATE] = ocp.args.StandardSave(state)  # type: ignore[call-arg]
        self._writer.save(path, args=ocp.args.Composite(**saved))

    def errors(self) -> None:
        """Raises the error of the last write, if one is known already; once."""
        if self._writer is not None:
            self._writer.check_for_errors()

    def wait(self) -> None:
        """Returns when the last write is complete; raises its error, once."""
        if self._writer is not None:
            self._writer.wait_until_finished()

    def close(self) -> None:
        """Lets Orbax's threads go; more than once is no error."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    def drop(self) -> None:
        """Gives up a write that failed, with whatever else it may complain about later."""
        with contextlib.suppress(Exception):
            self.wait()
        with contextlib.suppress(Exception):
            self.close()

    def read_items(self, path: Path) -> dict[str, Any]:
        """The JSON items of a step by name."""
        names = (POSITION, ABOUT, MANIFEST)
        args = {name: ocp.args.JsonRestore() for name in names}  # type: ignore[call-arg]
        found = _read(path, ocp.args.Composite(**args))
        return {name: found[name] for name in names}

    def read_state(self, path: Path, shapes: dict[str, Any]) -> dict[str, Any]:
        """The arrays of a step, all or those under some of its first keys, where `shapes` say."""
        placed = jax.tree.map(_placed, shapes)
        args = ocp.args.PyTreeRestore(
            item=placed,  # type: ignore[call-arg]
            restore_args=ocp.checkpoint_utils.construct_restore_args(placed),  # type: ignore
            partial_restore=True,  # type: ignore[call-arg]
        )
        return _read(path, ocp.args.Composite(**{STATE: args}))[STATE]


def _read(path: Path, args: ocp.args.Composite) -> Any:
    """Reads in this process alone."""
    alone = ocp.options.MultiprocessingOptions()
    if jax.process_count() > 1:
        me = jax.process_index()
        alone = ocp.options.MultiprocessingOptions(
            primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"read{me}"
        )
    options = ocp.CompositeOptions(multiprocessing_options=alone)
    handler = ocp.CompositeCheckpointHandler(composite_options=options)
    reader = ocp.Checkpointer(handler, multiprocessing_options=alone)
    try:
        return reader.restore(path, args=args)
    finally:
        reader.close()


def _placed(leaf: Any) -> Any:
    """Shape, dtype and place of a leaf; without a place, one device or a copy on each."""
    if not isinstance(leaf, jax.Array | jax.ShapeDtypeStruct):
        return leaf
    sharding = leaf.sharding
    if sharding is None and jax.process_count() == 1:
        sharding = SingleDeviceSharding(jax.devices()[0])
    if sharding is None:
        sharding = NamedSharding(Mesh(np.asarray(jax.devices()), ("all",)), PartitionSpec())
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
