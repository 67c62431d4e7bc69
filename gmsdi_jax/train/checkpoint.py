"""Checkpoints of a run: state and position in the data, written by Orbax, complete or absent.

A process killed at any moment leaves the last finished checkpoint; what it was writing is never
restored, and Orbax sweeps it away in the background of the next run.
"""

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from gmsdi_jax.errors import ConfigError
from gmsdi_jax.types import TrainState


class Checkpoints:
    """The folder ``OUT/checkpoints``, the newest few steps of it."""

    def __init__(self, folder: Path, keep: int):
        """Opens or creates the folder; `keep` checkpoints are kept."""
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    @property
    def latest(self) -> int | None:
        """The newest complete step."""
        return self._manager.latest_step()

    def save(self, step: int, state: TrainState, position: dict[str, Any]) -> None:
        """Starts to write `step`; an error surfaces at the next call. A step is saved once."""
        if self.latest == step:
            return
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state._asdict()),  # type: ignore[call-arg]
            position=ocp.args.JsonSave(position),  # type: ignore[call-arg]
        )
        self._manager.save(step, args=items)

    def restore(self, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The newest state, shaped like `like`, and the position in the data.

        Raises:
            ConfigError: there is no checkpoint.
        """
        if self.latest is None:
            raise ConfigError(f"{self._manager.directory}: no checkpoint to resume from")
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, like._asdict())
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(shapes),  # type: ignore[call-arg]
            position=ocp.args.JsonRestore(),  # type: ignore[call-arg]
        )
        restored = self._manager.restore(self.latest, args=items)
        return TrainState(**restored["state"]), restored["position"]

    def close(self) -> None:
        """Waits for what is being written and surfaces its errors."""
        self._manager.wait_until_finished()
        self._manager.close()
