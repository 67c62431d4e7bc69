"""Numbers as positions and strokes of inline SVG: the template only places them.

Whiskers are drawn in percent of their own width and need no more than `percent`. Curves are drawn
in a box that the page stretches over the song's width: x is in seconds, y runs from 0 (top) to 100.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gmsdi_jax.report.ranking import Point, Song

LOWEST, HIGHEST = -20.0, 40.0
"""Curves are cut off here, dB: absurd windows must not flatten the rest."""
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800)
_TICKS = 8


class Axis(NamedTuple):
    """The improvements that a song's curves are drawn between, dB."""

    low: float
    high: float


def percent(value: float, low: float, high: float) -> float:
    """Where a value stands between two ends, with a margin of 4 % on both sides, 0 to 100."""
    inside = (value - low) / max(high - low, 1e-9)
    return round(4 + 92 * min(max(inside, 0.0), 1.0), 2)


def axis(song: Song) -> Axis:
    """One axis for all stems and methods of a song, in steps of 5 dB; zero is inside."""
    values = [
        point.improvement
        for scores in song.scores.values()
        for strokes in scores.curves.values()
        for stroke in strokes
        for point in stroke
    ]
    low, high = min([-5.0, *values]), max([10.0, *values])
    return Axis(
        max(5 * math.floor(low / 5), LOWEST),
        min(5 * math.ceil(high / 5), HIGHEST),
    )


def height(value: float, span: Axis) -> float:
    """The y of an improvement, 0 (top) to 100."""
    inside = (span.high - value) / (span.high - span.low)
    return round(100 * min(max(inside, 0.0), 1.0), 1)


def path(strokes: Iterable[Sequence[Point]], span: Axis) -> str:
    """The strokes as the data of an SVG path; a lone window becomes a dot (of a round line cap)."""
    parts = []
    for stroke in strokes:
        points = [f"{point.seconds:g} {height(point.improvement, span):g}" for point in stroke]
        parts.append("M" + "L".join(points) + ("h0" if len(points) == 1 else ""))
    return "".join(parts)


def ticks(seconds: float) -> list[int]:
    """Round times for the ruler of a song, seconds: the start, and none where it would not fit."""
    step = next((s for s in _STEPS if seconds / s <= _TICKS), math.ceil(seconds / _TICKS))
    return list(range(0, math.floor(0.94 * seconds) + 1, step))


def clock(seconds: float) -> str:
    """Minutes and seconds, as players show them."""
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
