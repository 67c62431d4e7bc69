"""The tidy table: what goes in comes out, from both files."""

import csv
import math

import numpy as np
import pyarrow.parquet
import pytest

from gmsdi_jax.errors import InputError, OutputError, UnavailableError
from gmsdi_jax.metrics.protocols import active, msdm
from gmsdi_jax.metrics.scores import (
    COLUMNS,
    read_scores,
    tidy,
    window_score,
    write_scores,
)

LABELS = ("Bass", "Drums", "Piano")


@pytest.fixture
def rows(rng):
    references = rng.standard_normal((3, 6000)) * np.array([[0.1], [0.2], [0]])
    arguments = (0.8 * references, references, references.sum(0), 1000)
    return {
        name: protocol(*arguments, labels=LABELS, track="a song, with a comma")
        for name, protocol in (("active", active), ("msdm", msdm))
    }


@pytest.fixture
def scores(rows):
    return [row for name, part in rows.items() for row in tidy(name, "ours", 3, part)]


def test_columns_are_the_contract(scores):
    assert COLUMNS == (
        "protocol", "method", "seed", "track", "window", "start_seconds", "stem", "active",
        "si_sdr", "si_sdr_mixture", "improvement", "sdr", "silent_output", "level_db",
    )  # fmt: skip
    assert len(scores) == 2 * 2 * 3
    assert (scores[0].protocol, scores[0].method, scores[0].seed) == ("active", "ours", 3)


def test_parquet_gives_back_every_number(rows, scores, tmp_path):
    write_scores(tmp_path, scores)
    found = read_scores(tmp_path)
    assert repr(found) == repr(scores)  # NaN is not equal to itself, but reads the same
    assert repr([window_score(row) for row in found[:6]]) == repr(rows["active"])
    assert pyarrow.parquet.read_table(tmp_path / "scores.parquet")["sdr"].null_count == 0


def test_csv_leaves_empty_what_is_not_scored(scores, tmp_path):
    write_scores(tmp_path, scores)
    with (tmp_path / "scores.csv").open() as file:
        found = list(csv.DictReader(file))
    assert tuple(found[0]) == COLUMNS
    for row, score in zip(found, scores, strict=True):
        assert row["track"] == score.track
        for name in ("improvement", "sdr", "level_db"):
            value = getattr(score, name)
            assert row[name] == "" if math.isnan(value) else float(row[name]) == value
    assert {row["improvement"] == "" for row in found if row["stem"] == "Piano"} == {True, False}


def test_no_rows_are_a_table_as_well(tmp_path):
    write_scores(tmp_path, [])
    assert read_scores(tmp_path) == []


def test_a_table_that_is_none(tmp_path, scores):
    with pytest.raises(UnavailableError, match="gmsdi evaluate"):
        read_scores(tmp_path)
    (tmp_path / "scores.parquet").write_text("protocol,method\n")
    with pytest.raises(InputError, match="not a table of scores"):
        read_scores(tmp_path)
    with pytest.raises(OutputError, match="cannot write"):
        write_scores(tmp_path / "nowhere", scores)
