"""Where the wall time of a run goes: ``OUT/goodput.jsonl``, one event a line, over all starts.

At any moment a run does one thing, so its times sum to the wall time. What it does between the
named events is training steps; those are written once per log window, and every few seconds, so
that a run killed at any moment has said nearly all. Whether a step *counted* is not known when it
is done: a kill loses those after the last checkpoint. The next start writes down from which step it
goes on, and `account` takes the rest from the steps before.

==========  ======================================================================================
start       a process began (its own start, not that of Python's first line)
init        imports, devices, data, until the state is made or restored
restore     the state of step ``step``: read from a checkpoint, or made (step 0)
compile     the first step of a start: tracing and compiling, or reading the cache
steps       steps ``first`` to ``last``, less what the other events took from them
data        waits for a batch while the devices had nothing to do
validation  fixed windows, their scores and sounds
save        what a checkpoint held up; the writing itself goes on beside the steps
stop        the last save is completed and files are closed; a start without it was killed
==========  ======================================================================================
"""

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLUSH_SECONDS = 5.0
"""Longest time for which a run keeps its steps to itself; a kill leaves that much unaccounted."""


class Ledger:
    """The account of one start, appended to those before it."""

    def __init__(
        self,
        path: Path | None,
        *,
        clock: Callable[[], float] = time.time,
        began: float | None = None,
    ):
        """Begins a start; what comes until the first event is ``init``.

        Args:
            path: of the ledger; None keeps the times in memory only, as processes after the first
                do.
            clock: seconds since 1970.
            began: when the process started; by default now.
        """
        self._clock, self._path = clock, path
        self.seconds: defaultdict[str, float] = defaultdict(float)
        """Seconds so far by event, of this start."""
        self._doing = ["init"]
        self._mark = self._flushed_at = clock() if began is None else min(began, clock())
        self._first: int | None = None
        self._last = 0
        self._written: defaultdict[str, float] = defaultdict(float)
        self._end_line()
        self._write({"event": "start", "pid": os.getpid()}, self._mark)

    @contextmanager
    def during(self, event: str, step: int | None = None) -> Iterator[dict[str, Any]]:
        """What happens inside is `event`, but for the events inside that one.

        It is written when it ends, however that is, with what was added to the yielded dict.
        """
        self._settle()
        self._doing.append(event)
        said: dict[str, Any] = {} if step is None else {"step": step}
        try:
            yield said
        finally:
            self._settle()
            self._doing.pop()
            self.flush()
            self._line(event, said)

    def training(self) -> None:
        """From here on it is steps that pass between the events."""
        self._settle()
        self._doing[0] = "steps"
        self.flush()

    def stepped(self, step: int) -> None:
        """A step is done."""
        self._first = self._first or step
        self._last = step
        if self._clock() - self._flushed_at > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes down the steps, and the waits for data among them, since the last time."""
        self._settle()
        self._flushed_at = self._mark
        self._line("init")
        if self._first is not None:
            self._line("steps", {"first": self._first, "last": self._last})
            self._first = None
        self._line("data")

    def move(self, event: str, seconds: float) -> None:
        """So much of the steps' time was rather `event`'s."""
        self._settle()
        seconds = min(seconds, self.seconds["steps"] - self._written["steps"])
        self.seconds["steps"] -= seconds
        self.seconds[event] += seconds

    def _settle(self) -> None:
        now = self._clock()
        self.seconds[self._doing[-1]] += max(0.0, now - self._mark)
        self._mark = now

    def _line(self, event: str, more: dict[str, Any] | None = None) -> None:
        seconds = self.seconds[event] - self._written[event]
        if seconds > 0 or more:
            self._written[event] = self.seconds[event]
            self._write({"event": event, **(more or {}), "seconds": round(seconds, 6)}, self._mark)

    def _end_line(self) -> None:
        """A process killed within a write leaves half a line; the next begins a new one."""
        if self._path and self._path.exists() and not self._path.read_bytes().endswith(b"\n"):
            with self._path.open("a") as file:
                file.write("\n")

    def _write(self, line: dict[str, Any], now: float) -> None:
        if self._path is None:
            return
        text = json.dumps({"time": round(now, 6), **line}) + "\n"
        try:
            with self._path.open("a") as file:
                file.write(text)
        except OSError:  # accounts are worth no run; checkpoints will say what is wrong
            self._path = None


def process_began() -> float:
    """When this process started, in seconds since 1970; now, where the system does not tell."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return time.time() - (uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return time.time()
