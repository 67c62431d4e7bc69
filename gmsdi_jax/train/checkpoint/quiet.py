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

_OURS = logging.getLogger("gmsdi_jax.orbax")


def keep_orbax_quiet() -> None:
    """Once per process; more often is no error."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).addFilter(_passes)
    warnings.filterwarnings("ignore", r"coroutine '(async_serialize_from_host|Store)\b")
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
        lines = traceback.format_exception(record.exc_info[1])
        theirs = any("orbax" in line or "tensorstore" in line for line in lines)
    if theirs:
        _OURS.debug(record.getMessage(), exc_info=record.exc_info)
    return not theirs
