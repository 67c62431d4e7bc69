"""A run that hangs says where, and ends.

A collective that one process never joins waits for ever, in all processes; so does a read from a
file system that went away. Nothing is printed, and the machines are paid for. Every process
therefore watches its own loop: where no step is finished for long, it writes the stacks of all its
threads to ``OUT/stacks/process-N.txt`` and to stderr and ends with an exit code after which
launchers start the run again. All processes of a hanging run do, for all wait for the one.

What takes as long as it takes (compiling, validating) is not watched. Where even Python cannot run,
because a library hangs while it holds the interpreter, `faulthandler` does the same from outside.
"""

import contextlib
import faulthandler
import os
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

import jax

EXIT_CODE = 75
"""Of a run that hung: a crash, after which it may go better (EX_TEMPFAIL)."""
_GRACE = 30.0  # seconds that Python has before faulthandler acts in its place


class Watchdog:
    """Watches while it is entered; `beat` after every step."""

    def __init__(self, seconds: float, folder: Path):
        """Nothing is watched before the first beat.

        Args:
            seconds: without a beat after which the process ends; 0 never.
            folder: where the stacks are written.
        """
        self._seconds, self._folder = seconds, folder
        self._due: float | None = None
        self._changed = threading.Condition()
        self._ended = False
        self._armed = 0.0

    def __enter__(self) -> "Watchdog":
        if self._seconds:
            threading.Thread(target=self._watch, name="gmsdi-watchdog", daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        with self._changed:
            self._ended, self._due = True, None
            self._changed.notify()
        self._disarm()

    def beat(self) -> None:
        """A step is finished: the time starts anew."""
        if not self._seconds:
            return
        now = time.monotonic()
        with self._changed:
            self._due = now + self._seconds
        if now - self._armed > min(1.0, self._seconds / 4):  # it costs a thread each time
            self._armed = now
            if file := _real_stderr():
                faulthandler.dump_traceback_later(self._seconds + _GRACE, exit=True, file=file)

    def pause(self) -> None:
        """What comes may take any time; the next beat starts the watch again."""
        with self._changed:
            self._due = None
        self._disarm()

    def _disarm(self) -> None:
        if self._armed:
            self._armed = 0.0
            faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        while True:
            with self._changed:
                left = min(1.0, self._seconds / 4)
                self._changed.wait(left)
                if self._ended:
                    return
                hangs = self._due is not None and time.monotonic() > self._due
            if hangs:
                self._end()

    def _end(self) -> None:
        path = self._folder / f"process-{jax.process_index()}.txt"
        where = f": its threads stand in {path}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w") as file:
                faulthandler.dump_traceback(file, all_threads=True)
        except OSError:  # perhaps it is the file system that hangs or is gone
            where = ""
        line = f"gmsdi: no step was finished for {self._seconds:.0f} s{where}; resume the run"
        print(line, file=sys.stderr, flush=True)
        if file := _real_stderr():
            faulthandler.dump_traceback(file, all_threads=True)
        os._exit(EXIT_CODE)


def _real_stderr() -> TextIO | None:
    """A stderr that the operating system knows: a notebook's, or one that is redirected, is not."""
    for file in (sys.stderr, sys.__stderr__):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            if file is not None and file.fileno() >= 0:
                return file
    return None
