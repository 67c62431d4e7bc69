#!/usr/bin/env python3
"""Runs one command as several processes of this machine, as a cluster would: its ranks.

In the command, {coordinator}, {processes} and {process} stand for the address of the first rank,
their number, and the number of each:

    python launch/ranks.py -n 2 -- python train.py --at {coordinator} {processes} {process}

What holds: every line of output carries its rank. SIGTERM and SIGINT reach every rank once. The
first rank that fails takes the others down within `--patience` seconds; one that ends with 85
(preempted and saved) leaves them `--grace` seconds to save too. Nothing outlives this process: each
rank leads a process group of its own, which is killed with it, and a rank gets SIGTERM when this
process dies. The exit code is the most telling one of the ranks (`most_telling`).

Uses the standard library alone, so that any Python 3.11 can run it.
"""

import argparse
import contextlib
import ctypes
import os
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

FINAL = (2, 4, 70, 130)  # running it again cannot help: launch/README.md
PREEMPTED = 85
TERMINATED = 128 + signal.SIGTERM  # by a signal that it did not handle: told to end by others
WRONG, UNAVAILABLE = 2, 4
LONGEST_LINE = 1 << 16
PR_SET_PDEATHSIG = 1


def most_telling(codes: Sequence[int]) -> int:
    """The exit code of the whole from those of the ranks, in the order in which they ended.

    A failure that is final tells more than a crash, which its peers only follow; the first crash
    more than the later ones; SIGTERM more than 85, since somebody did not save.
    """
    final = [code for code in codes if code in FINAL]
    crashes = [code for code in codes if code not in (0, PREEMPTED, TERMINATED, *FINAL)]
    told = [code for code in (TERMINATED, PREEMPTED) if code in codes]
    return next(iter([*final, *crashes, *told, 0]))


@dataclass
class Rank:
    """One process of the command."""

    number: int
    process: subprocess.Popen[bytes]
    code: int | None = None
    rest: dict[int, bytes] = field(default_factory=dict)

    def ended(self) -> bool:
        """Whether it has ended since the last call; what it left behind is killed."""
        if self.code is not None or self.process.poll() is None:
            return False
        status = self.process.returncode
        self.code = status if status >= 0 else 128 - status
        self.send(signal.SIGKILL)
        return True

    def send(self, number: int) -> None:
        """Signals its whole process group: workers that it started as well."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def lines(self, stream: int, data: bytes) -> list[bytes]:
        """The lines that are whole now; no data means that the stream has ended."""
        *whole, rest = (self.rest.pop(stream, b"") + data).split(b"\n")
        if rest and (not data or len(rest) > LONGEST_LINE):
            whole, rest = [*whole, rest], b""
        self.rest[stream] = rest
        return [b"[%d] %s\n" % (self.number, line) for line in whole]


@dataclass
class Ranks:
    """The processes of one command, from the first start to the last end."""

    ranks: list[Rank]
    grace: float
    patience: float
    order: list[int] = field(default_factory=list)
    kill_at: float = float("inf")
    stopped: int = 0
    failed: bool = False
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def wait(self) -> int:
        """Copies output and watches until all have ended; returns the code of the whole."""
        for rank in self.ranks:
            for stream, out in ((rank.process.stdout, 1), (rank.process.stderr, 2)):
                assert stream is not None
                os.set_blocking(stream.fileno(), False)
                self.selector.register(stream, selectors.EVENT_READ, (rank, out))
        while self.living():
            self.copy(timeout=0.1)
            self.watch()
        last = time.monotonic() + 1  # a pipe may be held by something that left the group
        while self.selector.get_map() and time.monotonic() < last:
            self.copy(timeout=0.1)
        return most_telling(self.order)

    def living(self) -> list[Rank]:
        """The ranks that have not ended."""
        return [rank for rank in self.ranks if rank.code is None]

    def copy(self, timeout: float) -> None:
        """Passes on what the ranks wrote, line by line."""
        for key, _ in self.selector.select(timeout):
            rank, out = key.data
            try:
                data = os.read(key.fd, LONGEST_LINE)
            except BlockingIOError:
                continue
            for line in rank.lines(out, data):
                _write(out, line)
            if not data:
                self.selector.unregister(key.fileobj)

    def watch(self) -> None:
        """Takes note of the ranks that ended, and ends the others where one failed."""
        for rank in self.living():
            if not rank.ended():
                continue
            assert rank.code is not None
            self.order.append(rank.code)
            if rank.code == PREEMPTED:
                self.kill_in(self.grace)
            elif rank.code and self.living() and not self.failed:
                self.failed = True
                say(f"rank {rank.number} ended with {rank.code}: ending the others")
                if not self.stopped:
                    self.send(signal.SIGTERM)
                self.kill_in(self.patience)
        if time.monotonic() >= self.kill_at and self.living():
            numbers = ", ".join(str(rank.number) for rank in self.living())
            say(f"killing rank {numbers}: still there after the time to end")
            self.send(signal.SIGKILL)
            self.kill_at = float("inf")

    def stop(self, number: int, _: object) -> None:
        """A signal to this process is one to every rank."""
        say(f"{signal.Signals(number).name}: the ranks have {self.grace:g} s to save and end")
        self.stopped = number
        self.send(number)
        self.kill_in(self.grace)

    def send(self, number: int) -> None:
        """Signals all that live."""
        for rank in self.living():
            rank.send(number)

    def kill_in(self, seconds: float) -> None:
        """Lets nothing live longer than this; an earlier limit stays."""
        self.kill_at = min(self.kill_at, time.monotonic() + seconds)


def start(command: Sequence[str], environments: Sequence[dict[str, str]]) -> list[Rank]:
    """Starts one process for each environment; all or none."""
    address = f"127.0.0.1:{free_port()}"
    ranks: list[Rank] = []
    for number, environment in enumerate(environments):
        line = filled(command, address, len(environments), number)
        try:
            process = subprocess.Popen(
                line,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        except OSError as error:
            for rank in ranks:
                rank.send(signal.SIGKILL)
            say(f"{line[0]} does not start: {error.strerror}")
            sys.exit(UNAVAILABLE)
        ranks.append(Rank(number, process))
    return ranks


def filled(command: Sequence[str], address: str, processes: int, process: int) -> list[str]:
    """The command of one rank."""
    values = {"coordinator": address, "processes": str(processes), "process": str(process)}
    line = list(command)
    for name, value in values.items():
        line = [word.replace(f"{{{name}}}", value) for word in line]
    return line


def environments(count: int, devices: int | None, gpus: bool) -> list[dict[str, str]]:
    """What each rank finds in its environment beside what this process has."""
    if gpus:
        names = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        names = names if names != [""] else [str(number) for number in range(count)]
        if len(names) < count:
            say(f"{count} processes, but CUDA_VISIBLE_DEVICES names {len(names)}")
            sys.exit(WRONG)
        return [{"CUDA_VISIBLE_DEVICES": name} for name in names[:count]]
    if devices is None:
        return [{} for _ in range(count)]
    cpu = {"JAX_PLATFORMS": "cpu", "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo"}
    return [{**cpu, "JAX_NUM_CPU_DEVICES": str(devices)} for _ in range(count)]


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def say(message: str) -> None:
    """One line on stderr."""
    _write(2, f"ranks.py: {message}\n".encode())


def _write(out: int, data: bytes) -> None:
    """Writes all of it, where somebody reads; print() would not do from a signal handler."""
    with contextlib.suppress(BrokenPipeError):
        while data:
            data = data[os.write(out, data) :]


def _die_with_parent() -> None:
    """In the child, on Linux: SIGTERM once the parent is gone, however it went."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="ranks.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("-n", type=int, default=2, metavar="N", help="processes (2)")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--devices", type=int, metavar="K", help="on the CPU, with K devices each")
    kind.add_argument("--gpus", action="store_true", help="one GPU each")
    parser.add_argument("--grace", type=float, default=60, help="seconds to save and end (60)")
    parser.add_argument("--patience", type=float, default=5, help="seconds to end in vain (5)")
    parser.add_argument("--dry-run", action="store_true", help="print what would be run")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command or options.n < 1:
        parser.error("name a command after --, and at least one process")
    extra = environments(options.n, options.devices, options.gpus)
    if options.dry_run:
        for number, environment in enumerate(extra):
            words = [f"{name}={value}" for name, value in environment.items()]
            line = filled(command, "127.0.0.1:PORT", options.n, number)
            print(shlex.join([*words, *line]))
        return 0
    ranks = Ranks([], options.grace, options.patience)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ranks.stop)
    ranks.ranks = start(command, extra)
    if ranks.stopped:  # by a signal that came before they did
        ranks.send(ranks.stopped)
    return ranks.wait()


if __name__ == "__main__":
    sys.exit(main())
