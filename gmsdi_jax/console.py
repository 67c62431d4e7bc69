"""What a command says while it works: all of it on stderr, for stdout carries results alone.

Progress is a bar on a terminal. Elsewhere (a log, a batch system) it is one plain line every ten
seconds, so that a file does not fill with thousands of them. `quiet` leaves only errors.
"""

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rich.console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

Advance = Callable[[float, float, str], None]
"""Called with what is done, what there is in all, and a note such as the speed."""

LINE_EVERY = 10.0
"""Seconds between two plain lines of progress."""


class Console:
    """Messages and progress on stderr."""

    def __init__(self, *, quiet: bool = False, debug: bool = False):
        """`quiet` says errors only; `debug` adds the trace to every error."""
        self.quiet, self.debug = quiet, debug
        self._stderr = rich.console.Console(stderr=True)

    def say(self, text: str) -> None:
        """One line, unless `quiet`."""
        if not self.quiet:
            self._line(text)

    def error(self, error: BaseException, kind: str = "error", hint: str = "") -> None:
        """One line about an error; with `debug` the trace before it."""
        if self.debug:
            self._line("".join(traceback.format_exception(error)).rstrip())
        text = " ".join(str(error).split())
        # A file's name may hold what a terminal obeys.
        shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
        self._line(f"gmsdi: {kind}: {shown}{hint}")

    @contextmanager
    def progress(self, title: str, unit: str) -> Iterator[Advance]:
        """A function to be told of progress; `unit` is what it counts, such as ``s``."""
        if self.quiet:
            yield lambda done, total, note: None
        elif self._stderr.is_terminal:
            with self._bar() as bar:
                task = bar.add_task(title, total=None, note="")
                yield lambda done, total, note: bar.update(
                    task,
                    completed=done,
                    total=total,
                    note=f"{done:.0f} / {total:.0f} {unit}, {note}",
                )
        else:
            yield _Lines(title, unit, self.say)

    def _bar(self) -> Bar:
        return Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeRemainingColumn(),
            console=self._stderr,
            transient=True,
        )

    def _line(self, text: str) -> None:
        self._stderr.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


class _Lines:
    """Progress as plain lines, the first after ten seconds."""

    def __init__(self, title: str, unit: str, say: Callable[[str], None]):
        self._title, self._unit, self._say = title, unit, say
        self._started = self._said = time.monotonic()

    def __call__(self, done: float, total: float, note: str) -> None:
        now = time.monotonic()
        if now - self._said < LINE_EVERY or done <= 0:
            return
        self._said = now
        left = (now - self._started) * (total - done) / done
        self._say(
            f"{self._title}: {done:.0f} / {total:.0f} {self._unit}, {note}, {left:.0f} s left"
        )
