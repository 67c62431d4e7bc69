"""How many windows share a call, and how the call is spread over the devices.

A compiled call says how much memory it needs before it runs. `make_plan` compiles calls of one and
of two windows per device, extrapolates ``bytes = fixed + per_window * n`` to the free memory, and
compiles what it found, which is what will run: a plan is measured, not guessed.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import jax
from jax.sharding import Mesh
from jaxtyping import PyTree

from gmsdi_jax.errors import UnavailableError

Layout = Literal["windows", "rows"]

MOST = 16
"""Windows per device and call, at most: beyond it a call only takes longer."""
SHARE = 0.85
"""Of an accelerator's free memory, what a plan may use; the rest is for fragments."""
CPU_SHARE = 0.5
"""Of the computer's free memory, which other programs use too."""
MANY = 2**31
"""Windows of a song whose length is not known."""
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Plan:
    """A batched call; as text ``8 devices, 96 rows per call`` and, where measured, its memory."""

    devices: int
    """Devices that share it."""
    windows: int
    """Windows of one channel per call; in layout ``windows`` a multiple of the devices."""
    rows: int
    """Rows of its network calls: windows x sources x draws x guidance branches."""
    layout: Layout
    """How it is spread; see `gmsdi_jax.distributed`."""
    needed: int | None = None
    """Bytes per device beside weights and texts; None where nothing was measured."""
    limit: int | None = None
    """Bytes per device that it may take; None where nothing was measured."""

    def __str__(self) -> str:
        """One line for the console."""
        devices = "1 device" if self.devices == 1 else f"{self.devices} devices"
        memory = ""
        if self.needed is not None and self.limit is not None:
            memory = f", {_gib(self.needed)} of {_gib(self.limit)} GiB"
            memory += " each" if self.devices > 1 else ""
        return f"{devices}, {self.rows} rows per call{memory}"


def fixed_plan(windows: int, rows_per_window: int, devices: int) -> Plan:
    """The plan for about so many windows per call, without measuring.

    The devices take whole windows unless that gives the busiest of them a quarter more rows than
    sharing the rows of every network call would: with 11 windows on 8 devices, for instance.
    """
    whole = -(-windows // devices)
    shared = -(-windows * rows_per_window // devices)
    if whole * rows_per_window > 1.25 * shared:
        return Plan(devices, windows, windows * rows_per_window, "rows")
    windows = whole * devices
    return Plan(devices, windows, windows * rows_per_window, "windows")


def make_plan(
    measure: Callable[[int, Layout], float],
    rows_per_window: int,
    devices: int,
    limit: int,
    most: int = MANY,
) -> Plan:
    """The largest call that fits, in the layout of `fixed_plan`, or ``rows`` if windows are large.

    Args:
        measure: windows and layout of a call to the bytes it needs per device; infinity where the
            compiler refuses it.
        rows_per_window: rows of a network call per window.
        devices: how many there are.
        limit: bytes per device that a call may take.
        most: windows that there are; by default unknown, hence many.

    Raises:
        UnavailableError: not even one window fits.
    """
    at_once = min(most, MOST * devices)
    layout = fixed_plan(at_once, rows_per_window, devices).layout
    if layout == "windows":
        count, needed = _largest(
            lambda n: measure(n * devices, "windows"), limit, MOST, -(-most // devices)
        )
        count *= devices
    if layout == "rows" or not count:
        layout = "rows"
        count, needed = _largest(lambda n: measure(n, "rows"), limit, at_once, most)
    if count:
        return Plan(devices, count, count * rows_per_window, layout, math.ceil(needed), limit)
    amount = "more than there is" if math.isinf(needed) else f"{_gib(needed)} GiB"
    raise UnavailableError(
        f"one window needs {amount} per device and {_gib(limit)} GiB may be used: take more "
        "devices, fewer stems or draws, guidance 1, or a model with shorter windows"
    )


def _largest(
    bytes_of: Callable[[int], float], limit: int, at_once: int, total: int
) -> tuple[int, float]:
    """How many of `total` a call takes, at most `at_once`, and its bytes; 0 if one is too many.

    Calls are of equal size: of 17, 9 and 8 rather than 16 and 1.
    """
    bytes_of = cache(bytes_of)
    one = bytes_of(1)
    if one > limit:
        return 0, one

    def fitting(n: int) -> int:
        """What fits if bytes grow as they do from 1 to `n`; half of `n` where it was refused."""
        growth = bytes_of(n) - one
        fits = at_once if growth <= 0 else 1 + int((n - 1) * (limit - one) / growth)
        most = n // 2 if math.isinf(growth) else min(fits, at_once, total)
        return -(-total // -(-total // most))

    n = fitting(min(2, at_once, total))
    while bytes_of(n) > limit:
        n = fitting(n)
    # Twice of one may take more than two: worth another look where it hides a quarter.
    more = fitting(n)
    if more >= 1.25 * n and bytes_of(more) <= limit:
        n = more
    return n, bytes_of(n)


def needed_bytes(compiled: jax.stages.Compiled, placed: PyTree = ()) -> int:
    """What a call takes on each device while it runs, beside the arguments `placed` already.

    Raises:
        UnavailableError: the compiler does not say.
    """
    memory = compiled.memory_analysis()
    if memory is None:
        raise UnavailableError("this backend does not say what a call needs: give its rows")
    there = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(placed))
    arguments = memory.argument_size_in_bytes - there
    own = memory.output_size_in_bytes + memory.temp_size_in_bytes - memory.alias_size_in_bytes
    return arguments + own


def free_bytes(mesh: Mesh) -> int:
    """What a call may take on each device of `mesh`: a share of the free memory of the fullest."""
    stats = [device.memory_stats() or {} for device in mesh.devices.flat]
    if all("bytes_limit" in each for each in stats):
        return int(SHARE * min(s["bytes_limit"] - s.get("bytes_in_use", 0) for s in stats))
    return int(CPU_SHARE * _free_ram() / mesh.size)


def _free_ram() -> int:
    """Bytes that this process may still take: of the computer, or of its container (cgroup v2)."""
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if MEMINFO.exists():
        lines = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
        free = 1024 * int(lines["MemAvailable"].split()[0])
    if (CGROUP / "memory.max").exists():
        limit = (CGROUP / "memory.max").read_text().strip()
        if limit != "max":
            free = min(free, int(limit) - int((CGROUP / "memory.current").read_text()))
    return free


def _gib(count: float) -> str:
    return f"{count / 2**30:.3g}"
