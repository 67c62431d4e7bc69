"""Being told to stop: SIGTERM (a cluster takes the machine back) and SIGINT (Ctrl-C).

The first signal only leaves a note; the loop finishes its step, saves and ends with exit code 85. A
second Ctrl-C ends at once.

In a run of several processes the signal may reach only some of them, and a step needs all: they
compare notes now and then, and act after the same step. The same goes for the clock that says when
a checkpoint is due.
"""

import signal
import threading
import time
from types import FrameType, TracebackType

import jax
import numpy as np

_SECONDS, _STEPS = 2.0, 64


class Stop:
    """Listens from `listen` until it is left; only the main thread of a process can."""

    def __init__(self) -> None:
        self._signal: int | None = None
        self._before: dict[int, object] = {}

    def listen(self) -> None:
        """From now on a signal leaves a note. More than once is no error."""
        if threading.current_thread() is threading.main_thread() and not self._before:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)

    def __enter__(self) -> "Stop":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()

    @property
    def noted(self) -> bool:
        """Whether a signal came, to this process."""
        return self._signal is not None

    @property
    def reason(self) -> str | None:
        """The name of the signal that came, for a message."""
        return None if self._signal is None else signal.Signals(self._signal).name

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = number


class Notes:
    """What any process of a run noted, known to all of them after the same step.

    Comparing waits for all devices, so it is done every two seconds or so; how many steps those are
    process 0 tells with the notes. A run of one process sees its own at once.
    """

    def __init__(self) -> None:
        self._last, self._next = (0, time.monotonic()), 0

    def compared(self, step: int, *mine: bool) -> list[bool]:
        """Which of the notes any process has; to be called by all of them after every step.

        Between two comparisons all are False.
        """
        if jax.process_count() == 1:
            return list(mine)
        if step < self._next:
            return [False] * len(mine)
        from jax.experimental import multihost_utils

        sent = np.asarray([*mine, self._steps(step)], np.int32)
        found = multihost_utils.process_allgather(sent)
        self._next = step + int(found[0, -1])
        return [bool(noted) for noted in found[:, :-1].any(0)]

    def _steps(self, step: int) -> int:
        """Until the next comparison, by the speed since the last one."""
        before, now = self._last, time.monotonic()
        self._last = (step, now)
        speed = (step - before[0]) / max(now - before[1], 1e-9) if before[0] else 1.0
        return min(max(1, round(speed * _SECONDS)), _STEPS)
