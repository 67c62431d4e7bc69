"""Tracks that are one recording with labels of its own, in a file or inside a tar.

The labels belong to the track as a whole (tags, folder names), so there are no stems: the mixture
is the single row. Recordings of more channels are averaged to mono.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipelines.corpus import MAX_SECONDS, SourceAudio
from data_pipelines.tars import Member
from gmsdi_jax.audio import read
from gmsdi_jax.errors import InputError

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc"}
)
"""Names that end so, in small letters, are audio that is read.

libsndfile reads more (w64, caf), but of those it does not say whether they were cut.
"""

LENGTH_TOLERANCE = (1.0, 0.01)
"""Seconds, and share of the length, by which audio may differ from what a table says.

The larger counts. A second covers what encoders add (an mp3 encoder pads its first and last frames,
below 0.1 s together) and the rounding of the table (0.05 s). The hundredth is for tables that were
made by estimating. What is refused is another recording, and a file that was cut where it does not
show, between two frames.
"""


@dataclass(frozen=True)
class Mixture:
    """A recording, not yet read: a `data_pipelines.corpus.Source`."""

    name: str
    labels: tuple[str, ...]
    file: Path | Member
    seconds: float | None = None
    """Its length as a table says it; None where no table does."""

    def read(self, sample_rate: int) -> SourceAudio:
        """The mixture [1 t] at ``sample_rate``.

        Raises:
            InputError: the file cannot be read, is longer than two hours, or not as long as the
                table says.
        """
        name = str(self.file)
        if isinstance(self.file, Path):
            audio, _ = read(self.file, sample_rate, mono=True, max_seconds=MAX_SECONDS)
        else:
            with self.file.open() as file:
                audio, _ = read(file, sample_rate, mono=True, name=name, max_seconds=MAX_SECONDS)
        if not len(audio):
            raise InputError(f"{name} is shorter than one sample at {sample_rate} Hz: remove it")
        if self.seconds is not None:
            _check_length(name, len(audio) / sample_rate, self.seconds)
        return SourceAudio(np.ascontiguousarray(audio.T))


@dataclass(frozen=True)
class Unusable:
    """A track that was found damaged before it was read: reading it says why.

    So it takes the same way as one that is found damaged later: skipped, named and counted.
    """

    name: str
    reason: str
    labels: tuple[str, ...] = ()

    def read(self, sample_rate: int) -> SourceAudio:
        """Never returns.

        Raises:
            InputError: always.
        """
        raise InputError(self.reason)


def _check_length(name: str, seconds: float, listed: float) -> None:
    flat, share = LENGTH_TOLERANCE
    if abs(seconds - listed) > max(flat, share * listed):
        kind = "cut short" if seconds < listed else "another recording"
        raise InputError(
            f"{name} is {kind}: it lasts {seconds:.1f} s, the table says {listed:.1f} s:"
            " download it again"
        )
