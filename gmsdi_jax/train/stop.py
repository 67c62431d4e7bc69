"""Being told to stop: SIGTERM (a cluster takes the machine back) and SIGINT (Ctrl-C).

The first signal only leaves a note; the loop finishes its step, saves and ends with exit code 85. A
second Ctrl-C ends at once. In a run of several processes the signal may reach only some of them,
and a step needs all: they compare notes every few steps and stop after the same one.
"""

import signal
import threading
from types import FrameType, TracebackType

import jax
import numpy as np

AGREE_EVERY = 4
"""Steps between two comparisons of notes, in a run of several processes."""


class Stop:
    """Listens while it is entered; only the main thread of a process can."""

    def __init__(self) -> None:
        self._signal: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @property
    def reason(self) -> str | None:
        """The name of the signal that came, for a message."""
        return None if self._signal is None else signal.Signals(self._signal).name

    def agreed(self, step: int) -> bool:
        """Whether all processes stop after `step`; to be asked by all of them after every step."""
        noted = self._signal is not None
        if jax.process_count() == 1:
            return noted
        if step % AGREE_EVERY:
            return False
        from jax.experimental import multihost_utils

        return bool(np.any(multihost_utils.process_allgather(np.asarray(noted))))

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = number
