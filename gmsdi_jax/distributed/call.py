"""A function of windows as one batched call over all devices: planned, compiled, padded, spread."""

import math
from collections.abc import Callable, Sequence
from copy import copy
from functools import cache, cached_property, partial
from typing import Any, Literal

import jax
import numpy as np
from jax import ShapeDtypeStruct
from jax.stages import Compiled
from jaxtyping import Array, PyTree, Shaped

from gmsdi_jax.distributed.mesh import device_mesh, place_everywhere, replicated, split
from gmsdi_jax.distributed.plan import (
    MANY,
    SHARE,
    Layout,
    Plan,
    fixed_plan,
    free_bytes,
    make_plan,
    needed_bytes,
)
from gmsdi_jax.distributed.rows import over_windows, shard_rows
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.types import TextDenoiser

Spread = Callable[[TextDenoiser], TextDenoiser]
"""What a function of windows applies to its network, so that the network's rows can be shared."""


class BatchedCall:
    """``run(spread, *placed, *windows)`` for any number of windows, as many at a time as planned.

    `run` makes its denoiser from `placed` (weights, texts: the same for all windows), hands it
    through `spread`, and computes one answer per window, each from that window alone. Then the
    answers depend neither on the number of devices nor on what shares a call.
    """

    def __init__(
        self,
        run: Callable[..., Array],
        placed: tuple[PyTree, ...],
        window: tuple[ShapeDtypeStruct, ...],
        rows_per_window: int,
        *,
        windows: int | Literal["auto"] | None = None,
        most: int = MANY,
        devices: Sequence[Any] | None = None,
        memory: int | None = None,
    ):
        """Nothing is compiled before the plan or an answer is asked for.

        Args:
            run: the function; it is compiled.
            placed: what all windows share; every device gets a copy. Shapes and types
                (`jax.ShapeDtypeStruct`) do for a call that is compiled and never made.
            window: shapes and types of what one window brings.
            rows_per_window: rows of a network call per window.
            windows: windows per call: a number, or ``auto`` for as many as fit the memory, which
                takes up to three compilations to find out. By default accelerators are measured;
                on CPUs, which more do not make faster, a call takes 2, or one per device.
            most: windows that there are, where known: no call is made for more.
            devices: of `jax.local_devices()`; by default all.
            memory: bytes that each device has; by default it is asked what is free.

        Raises:
            ConfigError: no windows per call.
        """
        if isinstance(windows, int) and windows < 1:
            raise ConfigError(f"rows is {windows}: take at least 1, or auto")
        self.mesh = device_mesh(devices)
        self._run, self._window, self._rows_per_window = run, window, rows_per_window
        self._windows, self._most, self._memory = windows, most, memory
        self.placed = place_everywhere(placed, self.mesh)
        self.compiled = cache(self._compile)

    @cached_property
    def plan(self) -> Plan:
        """Devices, rows per call and layout, as in ``8 devices, 96 rows per call``.

        Raises:
            UnavailableError: not even one window fits the memory.
        """
        windows, devices = self._windows, self.mesh.size
        if windows is None and self.mesh.devices.flat[0].platform == "cpu":
            windows = max(2, devices)
        if isinstance(windows, int):
            return fixed_plan(min(windows, self._most), self._rows_per_window, devices)
        limit = free_bytes(self.mesh) if self._memory is None else self._share()
        return make_plan(self._measure, self._rows_per_window, devices, limit, self._most)

    def with_placed(self, *placed: PyTree) -> "BatchedCall":
        """The same call with other values of what all windows share, compiled once for both.

        Args:
            placed: of the shapes and types of those it was made with.
        """
        other = copy(self)
        other.placed = place_everywhere(placed, self.mesh)
        return other

    def compile(self) -> Compiled:
        """The planned call; it is compiled once."""
        return self.compiled(self.plan.windows, self.plan.layout)

    def __call__(self, *windows: Shaped[np.ndarray, "n ..."]) -> Shaped[np.ndarray, "n ..."]:
        """The answer of each window, in order; the last call is filled up with its last window."""
        call, size = self.compile(), self.plan.windows
        count, sharding = len(windows[0]), self._sharding(self.plan.layout)
        answers = []
        for start in range(0, count, size):
            some = [_filled(each[start : start + size], size) for each in windows]
            answers.append(np.asarray(call(*self.placed, *jax.device_put(some, sharding))))
        return np.concatenate(answers)[:count]

    def _compile(self, windows: int, layout: Layout) -> Compiled:
        sharding = self._sharding(layout)
        arrays = [
            ShapeDtypeStruct((windows, *each.shape), each.dtype, sharding=sharding)
            for each in self._window
        ]

        def run(*arguments: PyTree) -> Array:
            placed, each = arguments[: len(self.placed)], arguments[len(self.placed) :]
            if layout == "rows":
                return self._run(partial(shard_rows, mesh=self.mesh), *placed, *each)
            return over_windows(partial(self._run, lambda denoise: denoise, *placed), self.mesh)(
                *each
            )

        jitted = jax.jit(run, out_shardings=sharding)
        return jitted.lower(*self.placed, *arrays).compile()

    def _share(self) -> int:
        """What a call may take of a device's memory, beside what is placed on it."""
        assert self._memory is not None
        there = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self.placed))
        return int(SHARE * (self._memory - there))

    def _sharding(self, layout: Layout) -> jax.sharding.NamedSharding:
        return split(self.mesh) if layout == "windows" else replicated(self.mesh)

    def _measure(self, windows: int, layout: Layout) -> float:
        """Bytes per device that such a call needs; infinity where the compiler refuses it."""
        try:
            return needed_bytes(self.compiled(windows, layout), self.placed)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" in str(error):
                return math.inf
            raise


def _filled(array: np.ndarray, size: int) -> np.ndarray:
    """`array` with its last row repeated up to `size` rows."""
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])
