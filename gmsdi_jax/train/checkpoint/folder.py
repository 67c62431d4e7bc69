"""The folders of the steps: listing, setting aside, deleting, sweeping up after a kill.

A step leaves its name by one rename before a file of it is touched, so that no half of a checkpoint
ever stands under the name of a whole one.
"""

import shutil
import time
from pathlib import Path

import orbax.checkpoint as ocp

BAD = ".bad"
_DELETED = ".deleted-"


def steps_in(folder: Path) -> list[int]:
    """The complete steps, ascending."""
    names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    return sorted(int(n) for n in names if n.isascii() and n.isdigit() and str(int(n)) == n)


def bad_in(folder: Path) -> list[str]:
    """The names of what was set aside."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(name for name in names if BAD in name)


def set_aside(folder: Path, step: int) -> str:
    """Renames a step to ``STEP.bad``, ``STEP.bad2``, ...; returns the new name.

    Raises:
        OSError: it cannot be renamed.
    """
    count = 1
    while (target := folder / f"{step}{BAD}{count if count > 1 else ''}").exists():
        count += 1
    (folder / str(step)).rename(target)
    return target.name


def delete(folder: Path, step: int) -> None:
    """Deletes a step, which stops being one at once.

    Raises:
        OSError: it cannot be deleted.
    """
    target = folder / f"{step}{_DELETED}{time.time_ns()}"
    (folder / str(step)).rename(target)
    shutil.rmtree(target)


def sweep(folder: Path) -> list[str]:
    """Deletes what was being written or deleted when a process died; returns what stays behind."""
    left = []
    for path in sorted(folder.iterdir()):
        if ocp.path.step.TMP_DIR_SUFFIX in path.name or _DELETED in path.name:
            try:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            except OSError:
                left.append(path.name)
    return left


def size_of(path: Path) -> int:
    """The bytes that a folder takes on the disk; what vanishes meanwhile counts nothing."""
    total = 0
    for file in path.rglob("*"):
        try:
            found = file.stat()
        except OSError:
            continue
        total += max(found.st_size, 512 * found.st_blocks)
    return total
