"""Orbax's noise, out of the user's sight: one error is logged as screens from several threads.

The error itself is raised where it can be handled. What is said beside it - by absl's logger, by
asyncio about reads that were given up, by Python about callbacks that came too late - goes to the
logger ``gmsdi_jax.orbax`` at DEBUG. All else passes untouched.
"""

import logging
import sys
import traceback
import warnings
from typing import Any

_WORDS = "tensorstore", "ocdbt", "zarr"  # of errors without a trace
_OURS = logging.getLogger("gmsdi_jax.orbax")


def keep_orbax_quiet() -> None:
    """Once per process; more often is no error."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).addFilter(_passes)
    warnings.filterwarnings("ignore", r"coroutine '(async_serialize|_read_array_index|Store\.)")
    if not isinstance(sys.unraisablehook, _Unraisable):
        sys.unraisablehook = _Unraisable(sys.unraisablehook)


class _Unraisable:
    """A hook before the one that was there."""

    def __init__(self, before: Any):
        self._before = before

    def __call__(self, found: Any) -> None:
        text = str(found.exc_value)
        if text == "Event loop is closed" or "TensorStore" in text:
            _OURS.debug("%s", text)
        else:
            self._before(found)


def _passes(record: logging.LogRecord) -> bool:
    theirs = "orbax" in record.pathname  # absl's records know who called
    if record.name == "asyncio" and record.exc_info:
        theirs = _is_of_orbax(record.exc_info[1])
    if theirs:
        _OURS.debug(record.getMessage(), exc_info=record.exc_info)
    return not theirs


def _is_of_orbax(error: BaseException | None) -> bool:
    """Whether it went through Orbax or TensorStore.

    Frames are looked at, not formatted: this may run in the middle of anything, whenever garbage is
    collected, and formatting parses source, which Python 3.11 cannot do within itself.
    """
    while error is not None:
        files = (frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__))
        text = str(error).lower()
        if any("orbax" in file for file in files) or any(word in text for word in _WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
