"""From the windows of many songs to means, 95 % intervals and the scorecard.

The mean of a stem weighs every scored window the same, and "All" is the mean of the stems' means,
as published. Windows of one song resemble each other, so the windows are not independent samples:
the intervals resample *songs*. A mean over resampled songs needs only each song's sum and number of
scores, hence all draws are two matrix products.

With few songs (below about ten) percentile intervals are somewhat too narrow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gmsdi_jax.errors import InputError
from gmsdi_jax.metrics.medians import median
from gmsdi_jax.metrics.protocols import WindowScore
from gmsdi_jax.metrics.scores import TrackScore

ALL = "All"


class Interval(NamedTuple):
    """A 95 % interval in dB; NaN where fewer than two songs have a score."""

    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """What one method scored on a set of songs."""

    overall: float
    """What the papers call All: the mean of `stems`, dB."""
    stems: dict[str, float]
    """The mean improvement of each stem over its scored windows, dB; NaN if there are none."""
    medians: dict[str, float]
    """The same with medians, which a few absurd windows do not move."""
    windows: int
    songs: int
    silent_output_rate: float
    """The share of sounding stems that were answered with silence, 0 to 1."""
    absent_level: float
    """The mean level put out for absent stems, dB relative to the mixture; lower is better."""


class Method(NamedTuple):
    """One row of the scorecard."""

    name: str
    rows: Sequence[WindowScore]
    evaluations: int | None = None
    """Evaluations of the network per window (NFE)."""
    real_time_factor: float | None = None
    """Seconds of computing per second of audio; lower is faster."""
    beside: Mapping[str, Sequence[WindowScore]] = {}
    """The rows of the same estimates by other protocols, whose means stand in columns beside."""
    tracks: Sequence[TrackScore] = ()
    """Of every track and stem."""


def summarise(rows: Sequence[WindowScore]) -> Summary:
    """The means of `rows`, which are all windows of all songs of one method.

    Raises:
        InputError: there are no rows.
    """
    labels = _labels(rows)
    scores = {
        label: [row.improvement for row in rows if row.stem == label and _scored(row)]
        for label in labels
    }
    stems = {label: _mean(values) for label, values in scores.items()}
    return Summary(
        overall=_mean([mean for mean in stems.values() if np.isfinite(mean)]),
        stems=stems,
        medians={label: float(np.median(v)) if v else np.nan for label, v in scores.items()},
        windows=len({(row.track, row.window) for row in rows}),
        songs=len({row.track for row in rows}),
        silent_output_rate=_mean([row.silent_output for row in rows if row.active]),
        absent_level=_mean([row.level_db for row in rows if not row.active]),
    )


def bootstrap_interval(
    rows: Sequence[WindowScore],
    songs: Sequence[str] | None = None,
    n: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """95 % intervals of "All" and of each stem, from `n` resamplings of the songs.

    Args:
        rows: all windows of all songs of one method.
        songs: the songs to resample; all songs of `rows` if left out.
        n: the number of draws.
        seed: the same seed gives the same interval.

    Raises:
        InputError: there are no rows.
    """
    songs = _songs(rows) if songs is None else songs
    labels = _labels(rows)
    sums, counts = _sums(rows, songs, labels)
    stems, overall = _draws(sums, counts, _weights(len(songs), n, seed))
    return {
        ALL: _interval(overall, counts.sum(1)),
        **{label: _interval(stems[:, k], counts[:, k]) for k, label in enumerate(labels)},
    }


def paired_interval(
    rows_a: Sequence[WindowScore],
    rows_b: Sequence[WindowScore],
    n: int = 2000,
    seed: int = 0,
) -> Interval:
    """The 95 % interval of "All" of `rows_a` minus "All" of `rows_b`, over the same songs.

    Both methods are judged on the same draws of songs, so what makes a song hard for both cancels.
    A method may have several scores of a window, of as many seeds.
    If the interval excludes zero, the songs agree on which method is better.

    Raises:
        InputError: there are no rows, or the two methods were not scored on the same windows.
    """
    a, b = (
        {(row.track, row.window, row.stem) for row in rows if _scored(row)}
        for rows in (rows_a, rows_b)
    )
    if a != b:
        raise InputError(
            f"a paired interval needs the same windows of both methods: {len(a ^ b)} scores have "
            "no partner"
        )
    songs, labels = _songs(rows_a), _labels(rows_a)
    weights = _weights(len(songs), n, seed)
    sums_a, counts = _sums(rows_a, songs, labels)
    _, overall_a = _draws(sums_a, counts, weights)
    _, overall_b = _draws(*_sums(rows_b, songs, labels), weights)
    return _interval(overall_a - overall_b, counts.sum(1))


def table(methods: Sequence[Method], n: int = 2000, seed: int = 0) -> str:
    """The scorecard in Markdown, legible as it is: one line per method, improvements in dB.

    The number after ``±`` is half the 95 % interval over songs. Then follow the means by other
    protocols, the share of sounding stems that were answered with silence, the level put out for
    absent stems (dB relative to the mixture), and where they were measured the median of medians of
    the plain SDR and the STFT distance, as means over the stems.

    Raises:
        InputError: there are no methods, or one of them has no rows.
    """
    if not methods:
        raise InputError("a scorecard needs at least one method")
    labels = _labels(methods[0].rows)
    beside = list(dict.fromkeys(name for method in methods for name in method.beside))
    tracks = ["SDR", "STFT"] if any(method.tracks for method in methods) else []
    lines = [["Method", ALL, *labels, *beside, "silent %", "absent dB", *tracks, "NFE", "RTF"]]
    for method in methods:
        summary = summarise(method.rows)
        low, high = bootstrap_interval(method.rows, n=n, seed=seed)[ALL]
        spread = f" ± {(high - low) / 2:.2f}" if np.isfinite(low) else ""
        others = (method.beside.get(name) for name in beside)
        lines.append(
            [
                method.name,
                _number(summary.overall, ".2f") + spread,
                *(_number(summary.stems.get(label), ".2f") for label in labels),
                *(_number(summarise(rows).overall if rows else None, ".2f") for rows in others),
                _number(100 * summary.silent_output_rate, ".1f"),
                _number(summary.absent_level, ".1f"),
                *(_number(value, ".2f") for value in over_tracks(method.tracks)[: len(tracks)]),
                _number(method.evaluations, "d"),
                _number(method.real_time_factor, ".2g"),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    padded = [
        [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        for line in lines
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [padded[0], rule, *padded[1:]])


def over_tracks(tracks: Sequence[TrackScore]) -> tuple[float, float]:
    """The median of medians of the SDR, dB, and the mean STFT distance, as means over the stems."""
    stems: dict[str, list[TrackScore]] = {}
    for row in tracks:
        stems.setdefault(row.stem, []).append(row)
    medians = [median([row.sdr_median for row in rows]) for rows in stems.values()]
    distances = [
        _mean([row.stft_distance for row in rows if np.isfinite(row.stft_distance)])
        for rows in stems.values()
    ]
    return (
        _mean([value for value in medians if np.isfinite(value)]),
        _mean([value for value in distances if np.isfinite(value)]),
    )


def _scored(row: WindowScore) -> bool:
    return bool(np.isfinite(row.improvement))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _number(value: float | None, style: str) -> str:
    return "-" if value is None or not np.isfinite(value) else format(value, style)


def _labels(rows: Sequence[WindowScore]) -> list[str]:
    """The stems in the order in which they first appear."""
    if not rows:
        raise InputError("no window was scored: in no window do two or more stems sound")
    return list(dict.fromkeys(row.stem for row in rows))


def _songs(rows: Sequence[WindowScore]) -> list[str]:
    return sorted({row.track for row in rows})


def _sums(
    rows: Sequence[WindowScore], songs: Sequence[str], labels: Sequence[str]
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """Per song and stem, the sum and the number of the scores."""
    song_index = {song: i for i, song in enumerate(songs)}
    label_index = {label: k for k, label in enumerate(labels)}
    sums, counts = np.zeros((2, len(songs), len(labels)))
    for row in rows:
        if _scored(row) and row.track in song_index:
            place = song_index[row.track], label_index[row.stem]
            sums[place] += row.improvement
            counts[place] += 1
    return sums, counts


def _weights(songs: int, n: int, seed: int) -> Float[np.ndarray, "d n"]:
    """How often each song is taken in each of `n` draws with replacement."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(songs, np.full(songs, 1 / songs), size=n).astype(np.float64)


def _draws(
    sums: Float[np.ndarray, "n k"],
    counts: Float[np.ndarray, "n k"],
    weights: Float[np.ndarray, "d n"],
) -> tuple[Float[np.ndarray, "d k"], Float[np.ndarray, " d"]]:
    """The stems' means and "All" in each draw; NaN where a draw has no score of a stem."""
    with np.errstate(invalid="ignore"):
        stems = (weights @ sums) / (weights @ counts)
        overall = np.nansum(stems, -1) / np.isfinite(stems).sum(-1)
    return stems, overall


def _interval(values: Float[np.ndarray, " d"], counts: Float[np.ndarray, " n"]) -> Interval:
    """The central 95 % of the draws; one song tells nothing of the spread over songs."""
    values = values[np.isfinite(values)]
    if np.count_nonzero(counts) < 2:
        return Interval(float("nan"), float("nan"))
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))
