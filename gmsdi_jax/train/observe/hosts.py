"""What each process of a run spends its steps on, and which of them the others wait for.

Processes that train together finish every step together, so a slow one shows in no process's step
time. What shows is how long each waits: the slow one reads or prepares batches while the others
already wait for their devices, that is for the collective that it has not joined. The process whose
*own* time (the step's, less the wait for devices) is the longest is the slowest. A slow device is
not told apart by this: all wait for it alike.

The numbers of a log window go around once, when its metrics are read and all devices are waited for
anyway; between, nothing is exchanged.
"""

import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

GIB = 2**30
NAMES = ("time/step", "time/data", "time/devices", "memory/host", "memory/devices")
"""Seconds per step in all, waiting for data, waiting for devices; GiB of a process, of a device."""


def everyones(mine: np.ndarray) -> np.ndarray:
    """Every process's numbers, a row each, in all processes."""
    if jax.process_count() == 1:
        return mine[None]
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(mine))


class HostTimes:
    """Collects the times of one process, and compares them over all at the end of a window."""

    def __init__(self, gather: Callable[[np.ndarray], np.ndarray] = everyones):
        """`gather` is how numbers ``[n]`` become those of all processes ``[p n]``."""
        self._gather = gather
        self._before = np.zeros(3)
        self._steps = 0

    def step(self) -> None:
        """A step was done."""
        self._steps += 1

    def window(self, training: float, data: float, devices: float) -> dict[str, float]:
        """The numbers of the steps since the last window; all processes must call it.

        Args:
            training: seconds of this process in steps so far, waits included.
            data: of these, waiting for the next batch.
            devices: of these, waiting for devices.

        Returns:
            `NAMES` as means over the processes, what the backend does not tell left out; with more
            than one process also `` min`` and `` max`` of each, and ``slowest``, its number.
        """
        total = np.asarray([training, data, devices])
        spent = (total - self._before) / max(self._steps, 1)
        self._before, self._steps = total, 0
        mine = np.asarray([*spent, host_memory() / GIB, device_memory() / GIB], np.float32)
        return summary(self._gather(mine))


def summary(rows: np.ndarray) -> dict[str, float]:
    """Numbers ``[p n]`` of all processes as `HostTimes.window` returns them."""
    found: dict[str, float] = {}
    for name, column in zip(NAMES, np.asarray(rows, np.float64).T, strict=True):
        if np.isnan(column).any():
            continue
        found[name] = float(column.mean())
        if len(column) > 1:
            found |= {f"{name} min": float(column.min()), f"{name} max": float(column.max())}
    if len(rows) > 1:
        found["slowest"] = float(np.argmax(rows[:, 0] - rows[:, 2]))
    return found


def host_memory() -> float:
    """Bytes of this process in memory; where the system does not tell, the most so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return float(pages * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(most if sys.platform == "darwin" else most * 1024)


def device_memory() -> float:
    """Most bytes in use on a device of this process; NaN where the backend does not tell."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    return max((float(s.get("peak_bytes_in_use", np.nan)) for s in stats), default=np.nan)
