"""Folders of results: a failure leaves none of them behind empty."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def without_leftovers(folder: Path) -> Iterator[None]:
    """On any error, removes `folder` and its parents again where they are new and empty."""
    new = [path for path in (folder, *folder.parents) if not os.path.exists(path)]
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for path in new:
                path.rmdir()
        raise
