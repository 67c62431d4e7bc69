"""What a model sounds like at each validation: a few fixed windows, as files and as pictures.

``OUT/samples/truth`` holds the windows once: the mixture and its stems. ``OUT/samples/step-N``
holds the model's stems of the same windows, so any two validations can be compared by ear. The last
and the best few are kept, and fewer where they would take more room than `LIMIT`.
"""

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gmsdi_jax.audio import write
from gmsdi_jax.errors import NumericsError, OutputError

LIMIT = 512 * 2**20
"""Bytes that all samples of a run may take on disk."""
KEEP = 3
"""So many of the last validations are kept, and so many of the best."""


@dataclass(frozen=True)
class Sample:
    """One validation window: what was played and what the model made of it.

    Args:
        name: where the window comes from, such as ``Track00001 at 12.5 s``.
        labels: of the stems.
        mixture: the input, full scale = 1.
        stems: the truth.
        estimates: the model's stems.
        rate: Hz.
    """

    name: str
    labels: tuple[str, ...]
    mixture: Float[np.ndarray, " t"]
    stems: Float[np.ndarray, "k t"]
    estimates: Float[np.ndarray, "k t"]
    rate: int


class SampleFiles:
    """Wav files of the samples of a run (32-bit float, so nothing is clipped)."""

    def __init__(
        self,
        folder: Path,
        on_event: Callable[[str], None] = lambda line: None,
        *,
        keep: int = KEEP,
        limit: int = LIMIT,
    ):
        """Nothing is made before the first samples come."""
        self._folder, self._say, self._keep, self._limit = folder, on_event, keep, limit
        self._said = False

    def write(self, step: int, samples: Sequence[Sample], scores: dict[int, float]) -> None:
        """Writes the samples of a step and removes those that are not kept.

        Args:
            step: the validation's.
            samples: its sound; where they cannot be written, one line says so, once.
            scores: of all validations so far, by step.
        """
        try:
            for number, sample in enumerate(samples):
                place = f"{number:02d} {_safe(sample.name)}"
                self._truth(self._folder / "truth" / place, sample)
                for label, stem in zip(sample.labels, sample.estimates, strict=True):
                    path = self._folder / f"step-{step}" / place / f"{_safe(label)}.wav"
                    write(path, stem[:, None], sample.rate)
            self._prune(step, scores)
        except (OutputError, NumericsError, OSError) as error:
            if not self._said:
                self._say(f"no samples of step {step}: {error}")
            self._said = True

    def _truth(self, place: Path, sample: Sample) -> None:
        if place.exists():
            return
        for label, stem in zip(sample.labels, sample.stems, strict=True):
            write(place / f"{_safe(label)}.wav", stem[:, None], sample.rate)
        write(place / "mixture.wav", sample.mixture[:, None], sample.rate)

    def _prune(self, newest: int, scores: dict[int, float]) -> None:
        """A resumed run may find steps beyond its own: they will be done again, and go."""
        found = {int(path.name[5:]): path for path in self._folder.glob("step-*")}

        def rank(step: int) -> float:
            score = scores.get(step, -math.inf)
            return -math.inf if math.isnan(score) else score

        past = sorted(step for step in found if step <= newest)
        best = sorted(past, key=rank, reverse=True)[: self._keep]
        kept = dict.fromkeys([newest, *best, *reversed(past[-self._keep :])])
        room = self._limit - _size(self._folder / "truth")
        for step in kept:
            room -= _size(found[step])
            if step != newest and room < 0:
                kept[step] = False
        for step, path in found.items():
            if step not in kept or kept[step] is False:
                shutil.rmtree(path, ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in " .-_" else "_" for c in name).strip(". ") or "_"
