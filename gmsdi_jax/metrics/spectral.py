"""Multi-resolution STFT distance: how far two spectrograms are apart, phases aside.

SI-SDR compares waveforms, so a shift of a quarter of a period is as bad as another instrument. This
distance compares magnitudes alone, at three trade-offs between time and frequency. It is the mean
over the resolutions of two terms:

* the spectral convergence ``|| |S| - |E| || / || |S| ||``, which the loud bins decide: a gain g
  costs ``|1 - g|``, silence costs 1;
* the mean over all bins of ``| ln |S| - ln |E| |``, in which the quiet bins count as much as the
  loud ones: a gain g costs ``|ln g|``, silence as many nepers as it lies below the reference.

0 is equality; lower is better. A reference without a sound has no distance (NaN).

Source: Yamamoto et al., *Parallel WaveGAN*, 2020, eq. (3)-(6).
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

SIZES = (512, 1024, 2048)
"""Samples per frame of each resolution; a frame begins every quarter of it."""
FLOOR = 1e-4
"""The least magnitude, where white noise has its rms: -80 dBFS."""
_FRAMES = 256  # at a time: bounds memory, not the result


def stft_distance(
    estimates: Float[np.ndarray, "k t"], references: Float[np.ndarray, "k t"]
) -> Float[np.ndarray, " k"]:
    """The distance of each estimate to its reference, full scale = 1."""
    rows = [
        np.mean([_distance(estimate, reference, size) for size in SIZES])
        if reference.any()
        else np.nan
        for estimate, reference in zip(estimates, references, strict=True)
    ]
    return np.array(rows)


def _distance(e: Float[np.ndarray, " t"], s: Float[np.ndarray, " t"], size: int) -> float:
    """Spectral convergence plus the distance of logarithms at one resolution."""
    apart = energy = logs = count = 0.0
    for mine, theirs in zip(_magnitudes(e, size), _magnitudes(s, size), strict=True):
        apart += float(((mine - theirs) ** 2).sum(dtype=np.float64))
        energy += float((theirs**2).sum(dtype=np.float64))
        nepers = np.log(np.maximum(mine, FLOOR)) - np.log(np.maximum(theirs, FLOOR))
        logs += float(np.abs(nepers).sum(dtype=np.float64))
        count += nepers.size
    return float(np.sqrt(apart / energy)) + logs / count


def _magnitudes(x: Float[np.ndarray, " t"], size: int) -> Iterator[Float[np.ndarray, "n f"]]:
    """Magnitudes of Hann windows, some frames at a time; every sample is in four of them."""
    hop = size // 4
    window = np.hanning(size + 1)[:-1]
    window = (window / np.sqrt((window**2).sum())).astype(np.float32)
    edge = size - hop
    padded = np.pad(np.asarray(x, np.float32), (edge, edge + -len(x) % hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    for start in range(0, len(frames), _FRAMES):
        yield np.abs(np.fft.rfft(frames[start : start + _FRAMES] * window))
