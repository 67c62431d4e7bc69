"""What a case of damage is: what is done to which file, and what the command must then say."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One damaged input."""

    kind: str
    """Of the file: flac, tar, tsv, ..."""
    damage: str
    """In a few words."""
    do: Callable[[Path], object]
    """Does it, to a copy of the source."""
    says: tuple[str, ...]
    """What the line on stderr must hold."""
    lost: tuple[str, ...] = ()
    """Tracks, as split/name, that cannot be prepared; all others must be there, unchanged."""
    code: int = 3
    """Exit code of the command."""
    lines: int = 1
    """Lines on stderr; 0 where nothing is lost after all."""
    made: bool = True
    """Whether the other tracks are prepared; False where the command must refuse the whole."""
    options: tuple[str, ...] = ()
    """More arguments of the command."""

    @property
    def name(self) -> str:
        """Like ``flac: cut in the middle``."""
        return f"{self.kind}: {self.damage}"
