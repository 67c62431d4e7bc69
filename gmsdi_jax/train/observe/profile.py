"""A trace of a few steps: ``--profile 10:13`` records steps 10 to 13, on every process.

Each process writes its own machine's part of ``OUT/profile``; TensorBoard's profile plug-in, XProf
and Perfetto read it. Steps count from the beginning of the run, also where it was resumed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from gmsdi_jax.errors import ConfigError


def parse_steps(text: str) -> tuple[int, int]:
    """``10:13`` as first and last step.

    Raises:
        ConfigError: it is nothing of the kind.
    """
    first, colon, last = text.partition(":")
    if colon and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last):
        return int(first), int(last)
    raise ConfigError(f"--profile {text}: write FIRST:LAST, such as 10:13, counting from 1")


class Profile:
    """Starts and stops the trace; does nothing without steps."""

    def __init__(
        self, steps: tuple[int, int] | None, folder: Path, say: Callable[[str], None]
    ) -> None:
        """Traces `steps`, first and last, to `folder`; `say` is told one line when it is there."""
        self._steps, self._folder, self._say = steps, folder, say
        self._running = False

    def before(self, step: int) -> None:
        """To be called before a step is begun."""
        if self._steps and not self._running and self._steps[0] <= step <= self._steps[1]:
            try:
                jax.profiler.start_trace(self._folder)
                self._running = True
            except (RuntimeError, OSError) as error:
                self._give_up(error)

    def after(self, step: int, result: Any) -> None:
        """To be called with what a step returned; waits for it when the trace ends."""
        if self._running and self._steps and step >= self._steps[1]:
            jax.block_until_ready(result)
            self.close()

    def close(self) -> None:
        """Ends a trace that still runs."""
        if not self._running:
            return
        self._running = False
        assert self._steps is not None
        try:
            jax.profiler.stop_trace()
            first, last = self._steps
            self._say(f"a trace of steps {first} to {last} is in {self._folder}: tensorboard "
                      f"--logdir {self._folder}, with its profile plug-in")  # fmt: skip
        except (RuntimeError, OSError) as error:
            self._give_up(error)
        self._steps = None

    def _give_up(self, error: Exception) -> None:
        self._steps = None
        self._say(f"no trace: {' '.join(str(error).split())[:200]}")
