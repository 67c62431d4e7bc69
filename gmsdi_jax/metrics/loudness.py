"""How much of a clip is silence, and how loud the rest is.

Models of this family answer some prompts with silence, and a distance of embeddings may like it:
music has pauses too. So the share of silence stands beside every distance, and the loudness, which
most embeddings hear as well.
"""

import math

import numpy as np
import pyloudnorm
from jaxtyping import Float

from gmsdi_jax.metrics.protocols import SILENT_RMS

SECONDS = 1.0
"""Pieces that are silent or not."""
_BLOCK = 0.4
"""Seconds that BS.1770 hears at once: what is shorter has no loudness."""


def silence_fraction(audio: Float[np.ndarray, " t"], sample_rate: int) -> float:
    """The share of a clip's seconds whose RMS is below -47 dBFS, 0 to 1.

    That is the level below which the protocol ``active`` calls a stem silent. What is left after
    the last whole second counts by its length.

    Args:
        audio: mono, full scale = 1, at least one sample.
        sample_rate: Hz.
    """
    size = round(SECONDS * sample_rate)
    pieces = [audio[start : start + size] for start in range(0, len(audio), size)]
    silent = sum(
        len(p) for p in pieces if math.sqrt(np.square(p, dtype=np.float64).mean()) < SILENT_RMS
    )
    return silent / len(audio)


def integrated_loudness(audio: Float[np.ndarray, " t"], sample_rate: int) -> float:
    """The loudness of a clip in LUFS (ITU-R BS.1770-4, by pyloudnorm).

    Minus infinity for silence, NaN for less than 0.4 s.

    Args:
        audio: mono, full scale = 1.
        sample_rate: Hz.
    """
    if len(audio) < _BLOCK * sample_rate:
        return float("nan")
    with np.errstate(divide="ignore"):
        return float(
            pyloudnorm.Meter(sample_rate).integrated_loudness(np.asarray(audio, np.float64))
        )
