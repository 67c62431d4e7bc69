"""Songs whose stems are known: of a prepared split, one at a time, and what must fit a model."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float

from gmsdi_jax.baselines import static
from gmsdi_jax.build import Model
from gmsdi_jax.data import Split, training_batches
from gmsdi_jax.data.records import to_float
from gmsdi_jax.errors import ConfigError, UnavailableError

STATIC = "static.safetensors"
"""The file of class spectra beside a model's weights."""


class Song(NamedTuple):
    """A mixture with its true stems, mono, at one rate."""

    name: str
    mixture: Float[np.ndarray, " t"]
    stems: Float[np.ndarray, "k t"]
    others: Float[np.ndarray, "j t"] | None = None
    """True stems that are not asked for."""
    estimates: Mapping[str, Float[np.ndarray, "k t"]] = {}
    """What others made of it, by method."""


class Songs(Protocol):
    """Songs by number, of which the names are known before any is read."""

    @property
    def names(self) -> Sequence[str]:
        """What they are called."""
        ...

    def load(self, number: int) -> Song:
        """The song of this number."""
        ...


class SplitSongs:
    """The first songs of a split with stems, each cut to its first seconds."""

    def __init__(self, split: Split, count: int | None = None, seconds: float | None = None):
        """Reads nothing yet.

        Raises:
            UnavailableError: the split has no stems.
        """
        settings = split.manifest.settings
        if not settings.stems:
            raise UnavailableError(
                f"{split.folder}: holds no stems; evaluate on validation or test, or prepare "
                "it with stems"
            )
        self._split, self._tracks = split, split.manifest.tracks[:count]
        self._end = None if seconds is None else round(seconds * settings.sample_rate)
        self.names = [track.name for track in self._tracks]

    def load(self, number: int) -> Song:
        """Reads as much of the song as is asked for."""
        track, chunk = self._tracks[number], self._split.manifest.settings.chunk
        length = track.length if self._end is None else min(self._end, track.length)
        records = [self._split[track.first + i] for i in range(-(-length // chunk))]
        mixture = np.concatenate([record.mixture for record in records])
        parts = [record.stems for record in records if record.stems is not None]
        stems = np.concatenate(parts, axis=1)
        return Song(track.name, to_float(mixture[:length]), to_float(stems[:, :length]))


def songs_of(
    split: Split, count: int | None = None, seconds: float | None = None
) -> Iterable[Song]:
    """The first `count` songs of a split with stems, each cut to its first `seconds`.

    Raises:
        UnavailableError: the split has no stems.
    """
    songs = SplitSongs(split, count, seconds)
    return (songs.load(number) for number in range(len(songs.names)))


def check_same(model: Model, split: Split) -> None:
    """Raises ConfigError where a split's labels or sample rate are not the model's."""
    settings, config = split.manifest.settings, model.config
    if tuple(settings.labels) != config.labels:
        raise ConfigError(
            f"{split.folder}: labels {', '.join(settings.labels)} are not the model's "
            f"{', '.join(config.labels)}"
        )
    if settings.sample_rate != config.sample_rate:
        raise ConfigError(
            f"{split.folder}: {settings.sample_rate} Hz is not the model's {config.sample_rate} Hz"
        )


def fit_static(split: Split, windows: int = 2000, length: int = 2**15) -> static.StaticFilter:
    """The static baseline's class spectra, from mixtures and window labels of a training split."""
    batches = training_batches(split, length, 50, seed=0)
    drawn = [next(batches) for _ in range(windows // 50)]
    audio = np.concatenate([np.asarray(batch.audio)[..., 0] for batch in drawn])
    presence = np.concatenate([np.asarray(batch.prompt.mask) for batch in drawn])
    settings = split.manifest.settings
    spectra = static.estimate_spectra(audio, presence)
    return static.StaticFilter(spectra, tuple(settings.labels), settings.sample_rate)
