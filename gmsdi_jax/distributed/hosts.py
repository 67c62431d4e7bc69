"""Several processes as one machine: who they are, and how a run of them starts.

Every process runs the same program. `join` must come before anything touches a device. Where the
platform says who is who (SLURM, GKE, Cloud TPU, Open MPI) jax finds out by itself; elsewhere the
three numbers are given.
"""

from dataclasses import dataclass
from typing import Literal

import jax

from gmsdi_jax.errors import ConfigError, OutputError


@dataclass(frozen=True, kw_only=True)
class HostsConfig:
    """Which processes train together.

    Raises:
        ConfigError: the numbers contradict each other.
    """

    distributed: Literal["off", "auto"] = "off"
    """auto: this is one of several processes, and SLURM, GKE, Cloud TPU or Open MPI knows which."""
    coordinator: str | None = None
    """Address of process 0, as HOST:PORT, where nothing else knows it."""
    processes: int | None = None
    """How many processes there are, with --coordinator."""
    process: int | None = None
    """Which of them this is, from 0 on, with --coordinator."""
    start_seconds: int = 900
    """How long the processes wait for each other at the start."""
    heartbeat_seconds: int = 100
    """How long a process may be silent before the others give up."""

    def __post_init__(self) -> None:
        given = [self.coordinator, self.processes, self.process]
        if any(value is not None for value in given):
            if None in given:
                raise ConfigError("coordinator, processes and process belong together: give all")
            assert self.processes is not None
            assert self.process is not None
            assert self.coordinator is not None
            if not 0 <= self.process < self.processes:
                raise ConfigError(f"process is {self.process}: number them 0 to processes - 1")
            if not _has_port(self.coordinator):
                raise ConfigError(f"coordinator is {self.coordinator!r}: write HOST:PORT")
        if min(self.start_seconds, self.heartbeat_seconds) < 1:
            raise ConfigError("start_seconds and heartbeat_seconds must be at least 1")


def join(config: HostsConfig) -> None:
    """Waits for all processes of the run; does nothing for a run of one.

    Raises:
        OutputError: they do not find each other; it may go better another time.
    """
    if config.distributed == "off" and config.coordinator is None:
        return
    try:
        jax.distributed.initialize(
            config.coordinator,
            config.processes,
            config.process,
            initialization_timeout=config.start_seconds,
            heartbeat_timeout_seconds=config.heartbeat_seconds,
        )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise OutputError(
            f"the processes do not find each other ({reason}): give --coordinator HOST:PORT, "
            "--processes and --process"
        ) from error


def is_first() -> bool:
    """Whether this process writes what a run writes once: its configuration, metrics, models."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Returns when every process has come to this point."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def _has_port(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return bool(host) and port.isdigit()
