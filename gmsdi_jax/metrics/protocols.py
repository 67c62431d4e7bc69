"""Which windows and which stems of a track are scored: the protocol of MSDM, and a safe one.

Both cut whole tracks into windows of 4 seconds, one every 2 seconds, of which the last may be
short, and keep a window if at least two stems sound in it. They differ in which stems they score:

``msdm``
    scores *all* stems of a kept window, as published. A stem that is silent in the reference is
    then scored by the loudness of the output alone: 40 dB below the mixture counts as +40 dB, and
    zeros as more than +100 dB. The mean over windows therefore rewards muting. Use it to compare
    with published numbers, beside the rows of the trivial baselines.
``active``
    scores only stems that sound. What the separator puts out for an absent stem is reported apart,
    as a level relative to the mixture, and so is how often it answers a sounding stem with silence.

The published pipeline separates chunks of 2^18 samples at 22050 Hz and drops what is left of a
track behind the last whole one (`whole_chunks`). Its evaluation scores all that was separated, and
so does ``msdm``: whoever separates whole tracks cuts them before.

The gates differ as well. MSDM calls a stem silent if its norm *divided by the number of samples*
is below 1.5e-5. That gate depends on the length: it is -47 dBFS for 4 seconds at 22050 Hz and falls
by 3 dB with every halving, so a short last window is judged more leniently. ``active`` asks for
-47 dBFS at any length.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from gmsdi_jax.errors import InputError, NumericsError
from gmsdi_jax.metrics.si_sdr import sdr, si_sdr

WINDOW_SECONDS = 4.0
HOP_SECONDS = 2.0
SILENT_NORM = 1.5e-5
"""MSDM's gate: the norm of a window divided by its number of samples."""
SILENT_RMS = 0.0045
"""The gate of ``active``: -47 dBFS, which is MSDM's gate at 4 seconds and 22050 Hz."""
POWER_FLOOR = 1e-12
"""Added to mean squares before a level is taken: digital silence is -120 dBFS."""
CHUNK_SECONDS = 2**18 / 22050
"""What MSDM separates at a time."""


class WindowScore(NamedTuple):
    """The score of one stem in one window; what a protocol does not score is NaN."""

    track: str
    window: int
    start_seconds: float
    stem: str
    active: bool
    """Whether the reference sounds in this window."""
    si_sdr: float
    """Of the estimate, dB."""
    si_sdr_mixture: float
    """Of the unprocessed mixture, dB."""
    improvement: float
    """The difference of the two, dB."""
    silent_output: bool
    """The reference sounds and the estimate does not."""
    level_db: float
    """The power of the estimate relative to that of the mixture, dB."""
    sdr: float = math.nan
    """The plain signal-to-distortion ratio of the estimate, dB: a wrong gain counts as an error."""


def whole_chunks(length: int, sample_rate: int) -> int:
    """The samples of a track that the published pipeline separates, and so scores.

    A track shorter than one chunk, which it leaves out, is kept whole.

    Source: ``get_nonsilent_and_multi_instr_chunks`` of MSDM's code with ``min_chunk_size`` equal to
    ``max_chunk_size``, as in its experiments.
    """
    chunk = round(CHUNK_SECONDS * sample_rate)
    return length // chunk * chunk or length


def msdm(
    estimates: Float[np.ndarray, "k t"],
    references: Float[np.ndarray, "k t"],
    mixture: Float[np.ndarray, " t"],
    sample_rate: int,
    *,
    labels: Sequence[str],
    track: str = "",
    others: Float[np.ndarray, "j t"] | None = None,
) -> list[WindowScore]:
    """The scores of one track by the published protocol, silent references included.

    For the published numbers `mixture` is the sum of `references`, and all windows of all tracks
    weigh the same. `others` are true stems that nobody estimated: they count among those of which
    two must sound.

    Source: ``evaluate_separations`` of MSDM's code.

    Raises:
        InputError: the shapes do not belong together.
        NumericsError: an estimate is not finite.
    """
    _check(estimates, references, mixture, labels, track)

    def sounds(stems: Float[np.ndarray, "k t"]) -> Bool[np.ndarray, " k"]:
        return np.linalg.norm(stems, axis=-1) / stems.shape[-1] >= SILENT_NORM

    windows = _windows(estimates, references, mixture, sample_rate, sounds, others)
    return [row for w in windows for row in _rows(w, labels, track, score_absent=True)]


def active(
    estimates: Float[np.ndarray, "k t"],
    references: Float[np.ndarray, "k t"],
    mixture: Float[np.ndarray, " t"],
    sample_rate: int,
    *,
    labels: Sequence[str],
    track: str = "",
    others: Float[np.ndarray, "j t"] | None = None,
) -> list[WindowScore]:
    """The scores of one track where references sound; for absent stems, only the level put out.

    `others` are as in `msdm`.

    Raises:
        InputError: the shapes do not belong together.
        NumericsError: an estimate is not finite.
    """
    _check(estimates, references, mixture, labels, track)

    def sounds(stems: Float[np.ndarray, "k t"]) -> Bool[np.ndarray, " k"]:
        return _rms(stems) >= SILENT_RMS

    windows = _windows(estimates, references, mixture, sample_rate, sounds, others)
    return [row for w in windows for row in _rows(w, labels, track, score_absent=False)]


class _Window(NamedTuple):
    """One kept window, in float64."""

    number: int
    start_seconds: float
    estimates: Float[np.ndarray, "k t"]
    references: Float[np.ndarray, "k t"]
    mixture: Float[np.ndarray, " t"]
    active: Bool[np.ndarray, " k"]


def _windows(
    estimates: Float[np.ndarray, "k t"],
    references: Float[np.ndarray, "k t"],
    mixture: Float[np.ndarray, " t"],
    sample_rate: int,
    sounds: Callable[[Float[np.ndarray, "k t"]], Bool[np.ndarray, " k"]],
    others: Float[np.ndarray, "j t"] | None,
) -> Iterator[_Window]:
    """The windows of a track in which at least two references sound, `others` among them."""
    length, hop = int(WINDOW_SECONDS * sample_rate), int(HOP_SECONDS * sample_rate)
    count = math.ceil((mixture.shape[-1] - (length - hop)) / hop)
    for number in range(count):
        start = number * hop
        cut = slice(start, start + length)
        e, s, m = (x[..., cut].astype(np.float64) for x in (estimates, references, mixture))
        present = sounds(s)
        count_others = 0 if others is None else sounds(others[:, cut].astype(np.float64)).sum()
        if present.sum() + count_others >= 2:
            yield _Window(number, start / sample_rate, e, s, m, present)


def _rows(
    window: _Window, labels: Sequence[str], track: str, score_absent: bool
) -> list[WindowScore]:
    """One row per stem of a window; absent stems are scored only if `score_absent`."""
    scored = window.active | score_absent
    after = np.where(scored, si_sdr(window.estimates, window.references), np.nan)
    before = np.where(scored, si_sdr(window.mixture, window.references), np.nan)
    plain = np.where(scored, sdr(window.estimates, window.references), np.nan)
    silent = window.active & (_rms(window.estimates) < SILENT_RMS)
    power = (window.estimates**2).mean(-1) + POWER_FLOOR
    level = 10 * np.log10(power / ((window.mixture**2).mean() + POWER_FLOOR))
    return [
        WindowScore(
            track=track,
            window=window.number,
            start_seconds=window.start_seconds,
            stem=label,
            active=bool(window.active[k]),
            si_sdr=float(after[k]),
            si_sdr_mixture=float(before[k]),
            improvement=float(after[k] - before[k]),
            silent_output=bool(silent[k]),
            level_db=float(level[k]),
            sdr=float(plain[k]),
        )
        for k, label in enumerate(labels)
    ]


def _rms(x: Float[np.ndarray, "k t"]) -> Float[np.ndarray, " k"]:
    """The root mean square of each row, full scale = 1."""
    return np.sqrt((x**2).mean(-1))


def _check(
    estimates: np.ndarray,
    references: np.ndarray,
    mixture: np.ndarray,
    labels: Sequence[str],
    track: str,
) -> None:
    """Refuses what would be scored wrongly in silence."""
    expected = (len(labels), *mixture.shape)
    if not (estimates.shape == references.shape == expected and mixture.ndim == 1):
        raise InputError(
            f"track {track!r}: estimates {estimates.shape} and references {references.shape} must "
            f"both be (labels, samples) = {expected}: crop them to the length of the mixture"
        )
    if not np.isfinite(estimates).all():
        raise NumericsError(f"track {track!r}: an estimated stem holds NaN or infinity")
