"""The median of medians: what the separation campaigns report, for comparison.

A track is cut into windows of one second without overlap, the ratio is taken in each, and a track
is the median of its windows, a data set the median of its tracks. Windows of which the reference is
digital silence do not count. Medians forgive: a separator that fails on two seconds in five is none
the worse for it.

The ratio here is the plain SDR. museval's BSS-eval (version 4) first forgives any filter of 512
taps and is some tenths of a dB higher; it also leaves out windows of silent *estimates*, which here
count with the 0 dB that they get.

Source: Stöter et al., *The 2018 Signal Separation Evaluation Campaign*, section 3.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from gmsdi_jax.metrics.si_sdr import sdr

SECONDS = 1.0
"""Length and distance of the windows."""


def track_medians(
    estimates: Float[np.ndarray, "k t"], references: Float[np.ndarray, "k t"], sample_rate: int
) -> Float[np.ndarray, " k"]:
    """The median SDR of each stem of one track, dB; NaN for a stem that never sounds.

    What is left behind the last whole second does not count; a track shorter than that is one
    window.
    """
    length = references.shape[-1]
    size = min(round(SECONDS * sample_rate), length)
    count = length // size
    e, s = (
        x[:, : count * size].reshape(len(x), count, size).astype(np.float64)
        for x in (estimates, references)
    )
    ratios = np.where(s.any(-1), sdr(e, s), np.nan)
    return np.array([median(row) for row in ratios])


def median(values: Sequence[float] | Float[np.ndarray, " n"]) -> float:
    """The median of the values that are there; NaN if none is."""
    there = np.asarray(values, np.float64)
    there = there[np.isfinite(there)]
    return float(np.median(there)) if there.size else float("nan")
