"""Scorecards: every method with its intervals, the baselines among them, and what it gains on them.

All numbers come from `gmsdi_jax.metrics.summary`, so the page says what the scorecard says.
Intervals are 95 % over songs. A difference of two methods is judged on the same draws of songs
where both were scored on the same windows, and has no interval otherwise.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gmsdi_jax.errors import InputError
from gmsdi_jax.metrics.protocols import WindowScore
from gmsdi_jax.metrics.summary import (
    ALL,
    Interval,
    bootstrap_interval,
    paired_interval,
    summarise,
)
from gmsdi_jax.report.run import Run

UNKNOWN = Interval(float("nan"), float("nan"))


class Estimate(NamedTuple):
    """A mean in dB and its 95 % interval."""

    value: float
    interval: Interval


class Row(NamedTuple):
    """One method under one protocol."""

    method: str
    baseline: bool
    overall: Estimate
    stems: dict[str, Estimate]
    silent_percent: float
    absent_level: float
    evaluations: int | None
    real_time_factor: float | None


class Gain(NamedTuple):
    """What one is better by than another, dB."""

    over: str
    difference: float
    interval: Interval


class Scorecard(NamedTuple):
    """All methods under one protocol."""

    protocol: str
    rows: list[Row]
    gains: list[Gain]
    """Of the judged method over each baseline."""
    axis: Interval
    """The ends of the axis that the intervals of all rows are drawn on, dB; zero is inside."""
    songs: int
    windows: int

    @property
    def judged(self) -> Row:
        """The row that the report is about: the first that is no baseline."""
        return next((row for row in self.rows if not row.baseline), self.rows[0])


class Change(NamedTuple):
    """One method under one protocol, in this run and in another."""

    protocol: str
    method: str
    here: float
    there: float
    interval: Interval
    """Of the difference; NaN where the two runs were not scored on the same windows."""

    @property
    def difference(self) -> float:
        """This run less the other, dB."""
        return self.here - self.there


def scorecards(run: Run) -> list[Scorecard]:
    """One scorecard per protocol, ``active`` first."""
    return [_scorecard(run, protocol) for protocol in run.scores]


def changes(run: Run, other: Run) -> list[Change]:
    """Methods of one name that were scored by one protocol in both runs, baselines aside."""
    return [
        Change(
            protocol,
            method,
            summarise(rows).overall,
            summarise(other.scores[protocol][method]).overall,
            _paired(rows, other.scores[protocol][method]),
        )
        for protocol, methods in run.scores.items()
        for method, rows in methods.items()
        if method in other.scores.get(protocol, {}) and not run.is_baseline(method)
    ]


def _scorecard(run: Run, protocol: str) -> Scorecard:
    methods = run.scores[protocol]
    rows = [_row(run, method, scores) for method, scores in methods.items()]
    judged = next((row.method for row in rows if not row.baseline), rows[0].method)
    own = summarise(methods[judged])
    gains = [
        Gain(row.method, own.overall - row.overall.value, _paired(methods[judged], scores))
        for row, scores in zip(rows, methods.values(), strict=True)
        if row.baseline and row.method != judged
    ]
    ends = [x for row in rows for x in (row.overall.value, *row.overall.interval)]
    finite = [0.0, *(x for x in ends if np.isfinite(x))]
    return Scorecard(
        protocol, rows, gains, Interval(min(finite), max(finite)), own.songs, own.windows
    )


def _row(run: Run, method: str, scores: Sequence[WindowScore]) -> Row:
    summary, intervals = summarise(scores), bootstrap_interval(scores)
    known = run.methods[method]
    stems = {label: summary.stems.get(label, float("nan")) for label in run.labels}
    return Row(
        method,
        run.is_baseline(method),
        Estimate(summary.overall, intervals[ALL]),
        {label: Estimate(x, intervals.get(label, UNKNOWN)) for label, x in stems.items()},
        100 * summary.silent_output_rate,
        summary.absent_level,
        known.get("evaluations"),
        known.get("real_time_factor"),
    )


def _paired(rows_a: Sequence[WindowScore], rows_b: Sequence[WindowScore]) -> Interval:
    try:
        return paired_interval(rows_a, rows_b)
    except InputError:  # other windows
        return UNKNOWN
