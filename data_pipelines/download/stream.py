"""The bytes of a tar archive, compressed or not, read once from front to back and counted.

`tarfile` reads them through here, so that the bounds hold for all that it reads, also for what it
would keep in memory (the long names and attributes of its extended headers) or skip.
"""

import gzip
import io
from collections.abc import Callable
from pathlib import Path

from gmsdi_jax.errors import InputError

GZIP = b"\x1f\x8b"
LARGEST_READ = 2**16
"""Bytes that are asked for at once; a header that wants more is none of an audio archive."""
_FREE = 2**24
"""Bytes that a small archive may always unpack to, whatever its ratio."""
BLOCK = 512


class TarStream(io.RawIOBase):
    """A file object for `tarfile`: forward only, bounded."""

    def __init__(
        self,
        path: Path,
        size: int,
        ratio: float,
        on_bytes: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Opens the archive.

        Args:
            path: The archive.
            size: Bytes that it may unpack to.
            ratio: Times its own size that it may unpack to.
            on_bytes: Told how many bytes of the archive are read, and of how many.
        """
        self._name, self._on_bytes = path.name, on_bytes
        self._total = path.stat().st_size
        self._limit = min(size, int(max(self._total * ratio, _FREE)))
        self._packed = path.open("rb")
        compressed = self._packed.read(2) == GZIP
        self._packed.seek(0)
        self._file = gzip.GzipFile(fileobj=self._packed) if compressed else self._packed
        self._position = 0
        self._last = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Bytes unpacked so far."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Reads on to an offset; there is no way back."""
        if whence != io.SEEK_SET or offset < self._position:
            raise InputError(f"{self._name}: damaged: its members lie over each other")
        while self._position < offset and self.read(min(LARGEST_READ, offset - self._position)):
            pass
        return self._position

    def read(self, size: int = -1) -> bytes:
        """The next bytes, fewer only at the end.

        Raises:
            InputError: It unpacks to more than it may, or wants too much at once.
        """
        if not 0 <= size <= LARGEST_READ:
            raise InputError(f"{self._name}: refused: a header of {size} bytes")
        data = self._file.read(size)
        self._position += len(data)
        if self._position > self._limit:
            raise InputError(
                f"{self._name}: refused: unpacks to more than {self._limit} bytes, "
                f"from {self._total}: not the data set"
            )
        self._last = data
        self._on_bytes(self._packed.tell(), self._total)
        return data

    def at_end_mark(self) -> bool:
        """Whether the last block read is the empty one that closes an archive."""
        return self._last == bytes(BLOCK)

    def drain(self) -> None:
        """Reads the padding that is left, so that a compressed archive's checksum is compared.

        Raises:
            ValueError: There is more than padding: a header before it was lost.
        """
        while data := self.read(LARGEST_READ):
            if data != bytes(len(data)):
                raise ValueError("it goes on after its end mark")

    def close(self) -> None:
        """Closes the archive."""
        self._file.close()
        self._packed.close()
        super().close()
