"""What the protocol's recorder and its test share: tracks with every kind of stem, and estimates.

Four stems at 22050 Hz, in the order of MSDM's code. Between them the windows of the two tracks
hold stems that sound, that are quiet on either side of the gate, that are silent, that begin within
a window, and one that has no file; some windows keep one sounding stem and are left out. What was
separated is one or two chunks of 2^18 samples, so the last window is short, and the references go
on behind it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

RATE, CHUNK = 22050, 2**18
STEMS = ("bass", "drums", "guitar", "piano")


class Case(NamedTuple):
    """One track; a stem without a file is None, and what was separated may be shorter."""

    references: dict[str, Float32[np.ndarray, " t"] | None]
    estimates: Float32[np.ndarray, "k s"]


def tracks() -> dict[str, Case]:
    """The tracks by name, the same numbers on every machine."""
    return {"Track00001": _track(1, 2), "Track00002": _track(2, 1, without="piano")}


def stacked(case: Case) -> Float32[np.ndarray, "k s"]:
    """The references as far as they were separated; zeros for the stem without a file."""
    length = case.estimates.shape[1]
    rows = [np.zeros(length) if x is None else x[:length] for x in case.references.values()]
    return np.stack(rows).astype(np.float32)


def signals() -> tuple[Float[np.ndarray, "n t"], Float[np.ndarray, "n t"]]:
    """Estimates and references to compare SI-SDR on: gains, signs, offsets, -20 to 60 dB."""
    rng = np.random.default_rng(7)
    references = 0.1 * rng.standard_normal((8, 22050))
    noise = 0.1 * rng.standard_normal((8, 22050))
    gains = np.array([1, 0.1, -1, 3, 1, 1, 0.5, 1])[:, None]
    levels = 10 ** (-np.array([0, 10, 20, 30, 60, -20, 5, 15]) / 20)[:, None]
    offsets = np.array([0, 0, 0, 0, 0, 0, 0.05, -0.2])[:, None]
    estimates = gains * (references + levels * noise) + offsets
    return estimates, references


def _track(seed: int, chunks: int, without: str = "") -> Case:
    rng = np.random.default_rng(seed)
    length, separated = chunks * CHUNK + 30_000, chunks * CHUNK
    stems = rng.standard_normal((4, length))
    levels = np.ones((4, length))
    levels[1, : 5 * RATE] = 0  # drums begin within a window
    levels[2] = 0.03 * np.repeat(rng.uniform(0.3, 2, 30), 4 * RATE)[:length]
    levels[3] = np.arange(length) < 8 * RATE
    levels[0, separated - 3 * RATE :] = 0
    levels[[0, 2], 12 * RATE : 18 * RATE] = 0  # drums alone: two windows are left out
    stems *= 0.12 * levels
    if without:
        stems[STEMS.index(without)] = 0
    leak = 0.1 * stems.sum(0) + 0.01 * rng.standard_normal((4, length))
    estimates = (stems * np.array([1, 0.5, 0, 1])[:, None] + leak)[:, :separated]
    estimates[3, -4 * RATE :] = 0  # an absent stem, answered by silence
    references = {
        name: None if name == without else stem.astype(np.float32)
        for name, stem in zip(STEMS, stems, strict=True)
    }
    return Case(references, estimates.astype(np.float32))
