"""Compiling for a machine that is not here: the compiler says what a program needs before it runs.

The TPU compiler is a package of its own, ``pip install 'gmsdi-jax[tpu]'``, and needs no TPU. Only
shapes are compiled, never arrays. A `Pod` is a topology with its devices; `needs` is what the
compiler plans for a program: memory, floating point operations, what is exchanged.

Several slices are ``2*v5e:16x16``. Their devices come slice by slice, so that a mesh of `data` x
`fsdp` (`training_mesh`) has its groups of fsdp within a slice, and between slices nothing is
exchanged but the sums of gradients.
"""

import importlib.util
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import topologies

from gmsdi_jax.distributed.hlo import Exchange, exchange
from gmsdi_jax.errors import ConfigError, UnavailableError

_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-16",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
_NAME = re.compile(r"(?:(\d+)\*)?(v\d+[a-z]*:\d+x\d+(?:x\d+)?)")
GIB, MIB = 2**30, 2**20
_GREEDY = 2**19  # a matrix of so many rows and columns fits no device


@dataclass(frozen=True)
class Pod:
    """TPU chips that a program can be compiled for."""

    name: str
    """As ``v5e:16x16``, or ``2*v5e:16x16`` for two slices."""
    slices: int
    """How many; within one the devices are joined by ICI, between them by the data centre (DCN)."""
    devices: tuple[Any, ...]
    """Slice by slice."""

    @property
    def limit(self) -> int:
        """Bytes that a program may take on one device, as the compiler itself says."""
        return _limit(self.devices[0])

    @property
    def host(self) -> tuple[Any, ...]:
        """The devices of its first host: those that one process separates songs with."""
        first = self.devices[0].process_index
        return tuple(each for each in self.devices if each.process_index == first)


@dataclass(frozen=True)
class Needs:
    """What a compiled program needs on each device, in bytes, and what it does."""

    arguments: int
    """State and batch."""
    temporaries: int
    """Alive between two operations only."""
    output: int
    """Results less those that take the place of arguments."""
    operations: float | None
    """Floating point operations of one device, as the compiler counts them, a loop as one pass of
    it; None: it does not."""
    exchange: Exchange
    """Collectives."""

    @property
    def peak(self) -> int:
        """All of it: what must fit."""
        return self.arguments + self.temporaries + self.output

    def lines(self, limit: int | None) -> Iterator[str]:
        """Memory and exchange, for a person, one line each; `limit` is what a device has."""
        there = "" if limit is None else f" of {limit / GIB:.2f} GiB"
        yield (
            f"memory per device: {self.peak / GIB:.2f} GiB{there}: arguments "
            f"{self.arguments / GIB:.2f}, temporaries {self.temporaries / GIB:.2f}, results beside "
            f"the arguments {self.output / GIB:.2f}"
        )
        if not self.exchange.kinds:
            yield "exchange: nothing"
        for kind in self.exchange.kinds:
            yield (
                f"exchange: {kind.count} {kind.kind}, groups of {kind.widest}, each device sends "
                f"{kind.sent / MIB:.2f} MiB"
            )
        if self.exchange.open_loops:
            yield (
                f"exchange: {self.exchange.open_loops} loops are of unknown length; their "
                "collectives count as one pass"
            )


@lru_cache  # two descriptions of one topology are two machines to jax
def pod(name: str) -> Pod:
    """The TPU of that name.

    Args:
        name: such as ``v5e:16x16``, ``v5p:8x8x8``, or ``2*v5e:4x4`` for two slices.

    Raises:
        ConfigError: there is no such TPU.
        UnavailableError: its compiler is not installed.
    """
    found = _NAME.fullmatch(name)
    if not found:
        raise ConfigError(
            f"{name!r} is no topology: write v5e:16x16, or 2*v5e:16x16 for two slices"
        )
    if importlib.util.find_spec("libtpu") is None:
        raise UnavailableError(
            f"compiling for {name} needs the TPU compiler: pip install 'gmsdi-jax[tpu]'"
        )
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    slices = int(found[1] or 1)
    several = {"num_slices": slices} if slices > 1 else {}
    try:
        devices = topologies.get_topology_desc(found[2], platform="tpu", **several).devices
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{name}: the TPU compiler knows no such topology ({reason})") from error
    order = sorted(devices, key=lambda device: (getattr(device, "slice_index", 0) or 0, device.id))
    return Pod(name, slices, tuple(order))


def compile_for(
    compile: Callable[[], jax.stages.Compiled], limit: int | None, remedy: str
) -> jax.stages.Compiled:
    """The program compiled, if it fits.

    Args:
        compile: compiles it, as the method of that name of a lowered program does.
        limit: bytes that a device has; None where nothing is known.
        remedy: what makes it smaller, for the message.

    Raises:
        ConfigError: it needs more than there is.
    """
    try:
        compiled = compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        needed, there = refused(str(error))
        raise ConfigError(f"needs {needed}, {there or _gib(limit)} available: {remedy}") from error
    peak = needs(compiled).peak
    if limit is not None and peak > limit:
        raise ConfigError(f"needs {_gib(peak)}, {_gib(limit)} available: {remedy}")
    return compiled


def needs(compiled: jax.stages.Compiled) -> Needs:
    """What the compiler planned.

    Raises:
        UnavailableError: this compiler does not say.
    """
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
    if memory is None:
        raise UnavailableError("this backend's compiler does not say what a program needs")
    cost = cost[0] if isinstance(cost, list) else cost
    operations = cost.get("flops")
    return Needs(
        memory.argument_size_in_bytes,
        memory.temp_size_in_bytes,
        memory.output_size_in_bytes - memory.alias_size_in_bytes,
        operations if operations and operations > 0 else None,
        exchange(compiled.as_text() or ""),
    )


def refused(message: str) -> tuple[str, str]:
    """Needed and available memory in the compiler's own words, each empty where it is silent."""
    pair = re.search(r"([\d.]+[KMGT])\)? (?:exceeds available HBM \(|of )([\d.]+[KMGT])", message)
    if pair is None:
        return "more memory than there is", ""
    return f"{pair[1][:-1]} {pair[1][-1]}iB", f"{pair[2][:-1]} {pair[2][-1]}iB"


@lru_cache
def _limit(device: Any) -> int:
    """Asks the compiler for far too much; its refusal says how much there is."""
    place = jax.sharding.SingleDeviceSharding(device)
    shape = jax.ShapeDtypeStruct((_GREEDY, _GREEDY), jnp.float32, sharding=place)
    try:
        jax.jit(lambda x: x + 1).lower(shape).compile()
    except jax.errors.JaxRuntimeError as error:
        said = re.search(r"available HBM \(([\d.]+)G", str(error))
        if said:
            return math.floor(float(said[1]) * GIB)
    raise UnavailableError(f"the TPU compiler does not say how much memory a {device} has")


def _gib(count: int | None) -> str:
    return "an unknown amount" if count is None else f"{count / GIB:.2f} GiB"
