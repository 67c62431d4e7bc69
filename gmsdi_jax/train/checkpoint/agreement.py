"""What the processes of a run decide together; in a run of one process they already agree."""

from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np

from gmsdi_jax.errors import GMSDIError, UnavailableError

T = TypeVar("T")

_FINE, _DAMAGED, _FATAL = range(3)


class DamageError(Exception):
    """A checkpoint cannot be used; the message says why, in a few words."""


def told(*values: int) -> list[int]:
    """The numbers of process 0, which may be up to 2**31 - 1, in every process."""
    if jax.process_count() == 1:
        return list(values)
    from jax.experimental import multihost_utils

    numbers = multihost_utils.broadcast_one_to_all(np.asarray(values, np.int32))
    return [int(number) for number in numbers]


def decided(decide: Callable[[], int | None]) -> int:
    """What process 0 decides; the others wait for it and do not call `decide`.

    Raises:
        UnavailableError: process 0 failed.
        Exception: this is process 0, and `decide` raised it.
    """
    value, error = 0, None
    if jax.process_index() == 0:
        try:
            value = decide() or 0
        except Exception as found:
            error = found
    failed, value = told(int(error is not None), value)
    if error is not None:
        raise error
    if failed:
        raise UnavailableError("process 0 cannot go on with the checkpoints: see what it says")
    return value


def together(read: Callable[[], T]) -> T:
    """What `read` returns, once it succeeded in every process.

    Raises:
        DamageError: an error that a damaged file can cause, here or in another process.
        UnavailableError: another process failed for another reason: out of memory, for one.
        Exception: this process failed for such a reason.
    """
    try:
        value = read()
    except (GMSDIError, MemoryError, jax.errors.JaxRuntimeError):
        _worst(_FATAL)
        raise
    except Exception as error:  # Orbax and TensorStore raise what they like
        _check(_worst(_DAMAGED))
        raise error if isinstance(error, DamageError) else DamageError(in_short(error)) from error
    if _check(_worst(_FINE)) == _DAMAGED:
        raise DamageError("another process cannot read it")
    return value


def _check(worst: int) -> int:
    if worst == _FATAL:
        raise UnavailableError("another process cannot restore: see what it says")
    return worst


def _worst(code: int) -> int:
    if jax.process_count() == 1:
        return code
    from jax.experimental import multihost_utils

    return int(np.max(multihost_utils.process_allgather(np.asarray(code, np.int32))))


def in_short(error: BaseException, length: int = 160) -> str:
    """The cause of an error in one short line: Orbax's own fill screens."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())
    if "No space left on device" in text:
        return "no space left on the device"
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    text = text or type(error).__name__
    return text if len(text) <= length else text[: length - 3] + "..."
