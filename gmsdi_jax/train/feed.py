"""Batches on the devices before they are asked for, and the position that belongs to each.

While the devices compute a step, the next batches are read, embedded and copied to them. The
position in the data that a checkpoint saves is that of the batches that were *handed out*, not of
those that were read ahead: a resumed run sees each batch once.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from gmsdi_jax.types import Batch

AHEAD = 2
"""Batches on the devices beside the one in use: one being copied while the other waits."""


class Batches(Protocol):
    """An iterator over batches that can say and set where it is."""

    def __next__(self) -> Batch: ...
    def get_state(self) -> dict[str, Any]:
        """The position, as plain JSON values."""
        ...

    def set_state(self, state: dict[str, Any], /) -> None:
        """Continues from a position."""
        ...


class Feed:
    """`batches`, each placed on the devices by `place` before its turn comes.

    An error of `batches` is raised in its turn, after the batches that were read before it.
    """

    def __init__(self, batches: Batches, place: Callable[[Batch], Batch], ahead: int = AHEAD):
        """Nothing is read before the first batch is asked for; `place` must not wait for copies."""
        self._batches, self._place, self._ahead = batches, place, ahead
        self._waiting: deque[tuple[Batch | Exception, dict[str, Any]]] = deque()
        self._position = batches.get_state()

    def __next__(self) -> Batch:
        while len(self._waiting) <= self._ahead and not self._failed():
            self._waiting.append(self._read())
        batch, position = self._waiting.popleft()
        if isinstance(batch, Exception):
            raise batch
        self._position = position
        return batch

    def get_state(self) -> dict[str, Any]:
        """The position after the batches that were handed out."""
        return self._position

    def _read(self) -> tuple[Batch | Exception, dict[str, Any]]:
        try:
            batch = self._place(next(self._batches))
        except Exception as error:
            return error, self._position
        return batch, self._batches.get_state()

    def _failed(self) -> bool:
        return bool(self._waiting) and isinstance(self._waiting[-1][0], Exception)
