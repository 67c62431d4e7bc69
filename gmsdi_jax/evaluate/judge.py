"""From the estimates of one song to its scores, and what a listener gets to hear of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gmsdi_jax.audio import write
from gmsdi_jax.evaluate.songs import Song
from gmsdi_jax.metrics import protocols
from gmsdi_jax.metrics.medians import track_medians
from gmsdi_jax.metrics.protocols import WindowScore
from gmsdi_jax.metrics.scores import TrackScore
from gmsdi_jax.metrics.spectral import stft_distance

Say = Callable[[str], None]
"""Told what a user should know, one line each."""
PROTOCOLS = {"active": protocols.active, "msdm": protocols.msdm}


def judge(
    song: Song,
    estimates: Float[np.ndarray, "k t"],
    labels: tuple[str, ...],
    sample_rate: int,
    *,
    chunked: bool,
) -> tuple[dict[str, list[WindowScore]], list[TrackScore]]:
    """The scores of a song's windows by every protocol, and those of the whole song.

    Args:
        song: with the truth.
        estimates: one per label.
        labels: the names of the stems.
        sample_rate: Hz.
        chunked: whether ``msdm`` ends with the last whole chunk, behind which the published
            pipeline separates nothing.

    Raises:
        InputError: the shapes do not belong together.
        NumericsError: an estimate is not finite.
    """
    ends = {"msdm": protocols.whole_chunks(len(song.mixture), sample_rate)} if chunked else {}
    rows = {}
    for name, protocol in PROTOCOLS.items():
        end = ends.get(name)
        rows[name] = protocol(
            estimates[:, :end],
            song.stems[:, :end],
            song.mixture[:end],
            sample_rate,
            labels=labels,
            track=song.name,
            others=None if song.others is None else song.others[:, :end],
        )
    medians = track_medians(estimates, song.stems, sample_rate)
    distances = stft_distance(estimates, song.stems)
    columns = zip(labels, medians.tolist(), distances.tolist(), strict=True)
    return rows, [TrackScore(*values) for values in columns]


class KeptAudio:
    """What the methods made of the first songs, as files.

        RUN/audio/TRACK/mixture.flac
        RUN/audio/TRACK/reference/STEM.flac
        RUN/audio/TRACK/METHOD/STEM.flac      of seed 0

    Silence and copies of the mixture are not kept. flac holds no sample beyond full scale: where
    one was cut, that is said.
    """

    def __init__(self, run: Path, songs: int, labels: tuple[str, ...], sample_rate: int, say: Say):
        """Keeps nothing yet; `songs` is of how many to keep."""
        self._root, self._songs, self._labels = run / "audio", songs, labels
        self._rate, self._say = sample_rate, say

    def lacks(self, number: int, track: str, method: str, seed: int) -> bool:
        """Whether this audio is wanted and not there."""
        if number >= self._songs or seed or method in ("silence", "mixture"):
            return False
        folders = self._root / _name(track), self._root / _name(track) / _name(method)
        files = [folders[0] / "mixture.flac"]
        files += [folders[1] / f"{_name(label)}.flac" for label in self._labels]
        return not all(file.is_file() for file in files)

    def write(self, song: Song, method: str, estimates: Float[np.ndarray, "k t"]) -> None:
        """Writes a method's stems, and mixture and references where they are not there.

        Raises:
            OutputError: a file cannot be written.
        """
        folder = self._root / _name(song.name)
        if not (folder / "mixture.flac").is_file():
            self._stems(folder / "reference", song.stems)
            self._file(folder / "mixture.flac", song.mixture)
        self._stems(folder / _name(method), estimates)

    def _stems(self, folder: Path, stems: Float[np.ndarray, "k t"]) -> None:
        for label, stem in zip(self._labels, stems, strict=True):
            self._file(folder / f"{_name(label)}.flac", stem)

    def _file(self, path: Path, audio: Float[np.ndarray, " t"]) -> None:
        clipped = write(path, audio[:, None], self._rate)
        if clipped:
            self._say(f"{path}: {clipped} samples beyond full scale were clipped, here alone")


def _name(text: str) -> str:
    """A name as one part of a path, within the folder."""
    return text.replace("/", "-").lstrip(".") or "-"
