"""Who computes a cell: a file that only one process can create, and that it keeps fresh.

A process that was killed leaves its file behind. It is taken over at once where the process ran on
this host and is gone, and elsewhere when nobody has touched it for five minutes, by the clock of
the folder's own file system. Should two processes ever take the same cell, they write the same
results, each file whole: time is lost, nothing else.
"""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from gmsdi_jax.errors import OutputError

CLAIM = "claim"
_FRESH = 20.0
_STALE = 300.0


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether the cell in `folder` is ours, for as long as the block runs.

    Raises:
        OutputError: the folder cannot be written.
    """
    path = folder / CLAIM
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if is_taken(folder):
            yield False
            return
        path.unlink(missing_ok=True)
        ours = _create(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    if not ours:
        yield False
        return
    done = threading.Event()
    thread = threading.Thread(target=_keep_fresh, args=(path, done), daemon=True)
    thread.start()
    try:
        yield True
    finally:
        done.set()
        thread.join()
        path.unlink(missing_ok=True)


def is_taken(folder: Path) -> bool:
    """Whether a process that lives has claimed the cell."""
    path = folder / CLAIM
    try:
        host, process = json.loads(path.read_text())
    except FileNotFoundError:
        return False
    except (OSError, ValueError, TypeError):
        host, process = "", 0
    if host == socket.gethostname():
        return _lives(process)
    try:
        age = _now(folder) - path.stat().st_mtime
    except FileNotFoundError:
        return False
    return age < _STALE


def _create(path: Path) -> bool:
    """Creates the file; False where another process was faster."""
    try:
        with path.open("x") as file:
            json.dump([socket.gethostname(), os.getpid()], file)
    except FileExistsError:
        return False
    return True


def _keep_fresh(path: Path, done: threading.Event) -> None:
    while not done.wait(_FRESH):
        with suppress(OSError):
            os.utime(path)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _now(folder: Path) -> float:
    """The time by the file system's clock, which need not be this host's."""
    probe = folder / f".{uuid4().hex}"
    probe.touch()
    time = probe.stat().st_mtime
    probe.unlink()
    return time
