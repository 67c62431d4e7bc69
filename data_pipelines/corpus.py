"""A data set as preparation sees it: splits of sources, and how each becomes audio.

Whatever the layout on disk, a module of this package turns a folder into one `Plan` per split, and
everything after that is the same for all: `data_pipelines.prepare` on this machine,
`data_pipelines.beam` on a cluster, `data_pipelines.builders` for TensorFlow Datasets. A source is
small and picklable; it is read in whatever process its turn comes.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float

MAX_SECONDS = 2 * 3600.0
"""Longer audio is refused before it is decoded: no song is, and it would fill the memory."""


class SourceAudio(NamedTuple):
    """One track, full scale = 1.

    ``stems`` has one row per label, or a single row, the mixture, where labels belong to tracks.
    ``activity`` holds levels from elsewhere (notes); None takes those of the stems.
    """

    stems: Float[np.ndarray, "k t"]
    activity: Float[np.ndarray, "k frames"] | None = None


class Source(Protocol):
    """One track, not yet read."""

    @property
    def name(self) -> str:
        """Unique within its split, like ``Track00001`` or ``82/382``."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The track's own labels; none where presence is judged per window."""
        ...

    def read(self, sample_rate: int) -> SourceAudio:
        """Its audio, mono, at ``sample_rate`` (Hz).

        Raises:
            InputError: it cannot be read, in one clear line.
        """
        ...


@dataclass(frozen=True)
class Plan:
    """One split of a data set."""

    split: str
    """Its name, also that of its folder."""
    labels: tuple[str, ...]
    """The vocabulary, the same for all splits of a data set."""
    presence: Literal["window", "track"]
    """Whether labels are judged per window by the stems' levels, or belong to tracks."""
    sources: tuple[Source, ...]
    """In a fixed order, by name."""
    arrangement: str
    """A sentence for the manifest: how tracks were put into splits."""
    missing: tuple[str, ...] = ()
    """Tracks that the lists name and the source lacks."""
