"""Checksums as publishers give them: md5, sha256, and git's name of a file's content.

Git names the content of a file by the sha1 of ``blob LENGTH`` + a zero byte + the content. A list
file of a repository is pinned by that name: it is known from the commit alone, without the file.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

BLOCK = 2**20
Kind = Literal["md5", "sha256", "git blob"]
OnBytes = Callable[[int, int], None]
"""Told how many bytes are done, and of how many."""


class Checksum(NamedTuple):
    """What a file must have."""

    kind: Kind
    value: str

    def __str__(self) -> str:
        """As in ``md5:f4b7...``."""
        return f"{self.kind}:{self.value}"


def checksum(path: Path, kind: Kind, on_bytes: OnBytes = lambda done, total: None) -> Checksum:
    """The checksum of a file, read in blocks.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        # Marked as no matter of security: some systems refuse md5 and sha1 otherwise.
        hashed = hashlib.new("sha1" if kind == "git blob" else kind, usedforsecurity=False)
        if kind == "git blob":
            hashed.update(b"blob %d\0" % size)
        block = memoryview(bytearray(BLOCK))
        done = 0
        while count := file.readinto(block):
            hashed.update(block[:count])
            done += count
            on_bytes(done, size)
    return Checksum(kind, hashed.hexdigest())
