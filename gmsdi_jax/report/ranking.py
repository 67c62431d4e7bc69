"""Songs, worst first, with the improvement of every method over time.

The order is that of the judged method's mean improvement over the mixture where stems sound, for
whoever opens a report wants to hear where the method fails.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gmsdi_jax.metrics.protocols import HOP_SECONDS, WINDOW_SECONDS, WindowScore
from gmsdi_jax.metrics.summary import summarise
from gmsdi_jax.report.run import Run


class Point(NamedTuple):
    """The improvement in one window, dB, at the middle of the window, seconds."""

    seconds: float
    improvement: float


class SongScores(NamedTuple):
    """What one method scored on one song, dB; NaN where nothing was scored."""

    overall: float
    stems: dict[str, float]
    curves: dict[str, list[list[Point]]]
    """By stem, over time: windows that follow each other make one stroke."""


class Song(NamedTuple):
    """One song of an evaluation."""

    name: str
    scores: Mapping[str, SongScores]
    """By method."""
    seconds: float
    """The end of the last window that was scored."""
    sounding: list[str]
    """The stems that sound in some scored window."""


def ranked(run: Run) -> list[Song]:
    """The songs of a run, those that the judged method is worst at first, unscored ones last."""
    protocol = next(iter(run.scores))
    by_song: dict[str, dict[str, list[WindowScore]]] = {}
    for method, rows in run.scores[protocol].items():
        for row in rows:
            by_song.setdefault(row.track, {}).setdefault(method, []).append(row)
    songs = [_song(name, methods, run.labels) for name, methods in by_song.items()]

    def badness(song: Song) -> tuple[bool, float, str]:
        scores = song.scores.get(run.judged)
        value = math.nan if scores is None else scores.overall
        return (math.isnan(value), value if math.isfinite(value) else 0.0, song.name)

    return sorted(songs, key=badness)


def _song(name: str, methods: Mapping[str, Sequence[WindowScore]], labels: Sequence[str]) -> Song:
    rows = [row for scores in methods.values() for row in scores]
    sounding = {row.stem for row in rows if row.active}
    return Song(
        name,
        {method: _scores(scores, labels) for method, scores in methods.items()},
        max(row.start_seconds for row in rows) + WINDOW_SECONDS,
        [label for label in labels if label in sounding],
    )


def _scores(rows: Sequence[WindowScore], labels: Sequence[str]) -> SongScores:
    summary = summarise(rows)
    return SongScores(
        summary.overall,
        {label: summary.stems.get(label, math.nan) for label in labels},
        {label: _strokes([row for row in rows if row.stem == label]) for label in labels},
    )


def _strokes(rows: Sequence[WindowScore]) -> list[list[Point]]:
    """The scored windows in order, the mean over seeds, cut where windows are left out."""
    drawn: dict[float, list[float]] = {}
    for row in rows:
        if math.isfinite(row.improvement):
            drawn.setdefault(row.start_seconds, []).append(row.improvement)
    strokes: list[list[Point]] = []
    last = -math.inf
    for start in sorted(drawn):
        if start - last > 1.5 * HOP_SECONDS:
            strokes.append([])
        values = drawn[start]
        strokes[-1].append(Point(start + WINDOW_SECONDS / 2, sum(values) / len(values)))
        last = start
    return strokes
