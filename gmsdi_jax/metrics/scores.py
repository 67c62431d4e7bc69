"""The tidy table of scores: one row per protocol, method, seed, track, window and stem.

It is written twice, as ``scores.csv`` to look into and as ``scores.parquet`` to compute with, and
every number of a scorecard can be had from it by grouping. What a protocol does not score is NaN,
an empty field in the csv. A second table, ``tracks.csv``, has what belongs to whole tracks.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gmsdi_jax.errors import InputError, OutputError, UnavailableError
from gmsdi_jax.metrics.protocols import WindowScore


class Score(NamedTuple):
    """A row of the table; the fields from `track` on are those of `WindowScore`."""

    protocol: str
    method: str
    seed: int
    track: str
    window: int
    start_seconds: float
    stem: str
    active: bool
    si_sdr: float
    si_sdr_mixture: float
    improvement: float
    sdr: float
    silent_output: bool
    level_db: float


class TrackScore(NamedTuple):
    """What one stem of a whole track is like."""

    stem: str
    sdr_median: float
    """The median SDR of its seconds, dB (`gmsdi_jax.metrics.medians`)."""
    stft_distance: float
    """The multi-resolution STFT distance (`gmsdi_jax.metrics.spectral`)."""


COLUMNS = Score._fields
TRACK_COLUMNS = ("method", "seed", "track", *TrackScore._fields)


def tidy(protocol: str, method: str, seed: int, rows: Iterable[WindowScore]) -> Iterator[Score]:
    """The rows of the table for one method and seed."""
    for row in rows:
        yield Score(protocol=protocol, method=method, seed=seed, **row._asdict())


def window_score(score: Score) -> WindowScore:
    """What a protocol made, without what it was made of."""
    return WindowScore(**{name: getattr(score, name) for name in WindowScore._fields})


def write_scores(folder: Path, scores: Sequence[Score]) -> None:
    """Writes ``scores.csv`` and ``scores.parquet``.

    Raises:
        OutputError: the folder cannot be written.
    """
    import pyarrow  # here and below: half a second that whoever writes no table need not wait
    import pyarrow.parquet

    write_csv(folder / "scores.csv", COLUMNS, scores)
    columns = zip(*scores, strict=True) if scores else [()] * len(COLUMNS)
    table = pyarrow.table(
        {name: list(column) for name, column in zip(COLUMNS, columns, strict=True)}
    )
    path = folder / "scores.parquet"
    temporary = path.with_name(f".{path.name}.part")
    try:
        pyarrow.parquet.write_table(table, temporary)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot write ({error.strerror or error})") from error


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a table in one step; NaN is an empty field.

    Raises:
        OutputError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows([_field(value) for value in row] for row in rows)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot write ({error.strerror})") from error


def read_scores(folder: Path) -> list[Score]:
    """Reads ``scores.parquet`` back.

    Raises:
        UnavailableError: there is none.
        InputError: it is damaged, or another table.
    """
    import pyarrow
    import pyarrow.parquet

    path = folder / "scores.parquet"
    if not path.is_file():
        raise UnavailableError(f"{path}: no such file; make it with gmsdi evaluate ... -o {folder}")
    try:
        table = pyarrow.parquet.read_table(path, columns=list(COLUMNS))
        columns = [table[name].to_pylist() for name in COLUMNS]
    except (OSError, KeyError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: not a table of scores ({reason}): evaluate again") from error
    return [Score(*row) for row in zip(*columns, strict=True)]


def _field(value: object) -> object:
    return "" if isinstance(value, float) and math.isnan(value) else value
