"""Scorecards and differences, on songs whose improvement is known."""

import math

import pytest
from evaluated import evaluation

from gmsdi_jax.report import read_run
from gmsdi_jax.report.tables import changes, scorecards

SONGS = {"a": {"ours": 10.0, "other": 4.0}, "b": {"ours": 14.0, "other": 8.0}}


def test_rows_are_means_over_songs_and_the_mixture_is_zero(tmp_path):
    active, msdm = scorecards(read_run(evaluation(tmp_path / "run", SONGS)))
    assert (active.protocol, msdm.protocol) == ("active", "msdm")
    assert [row.method for row in active.rows] == ["ours", "other", "mixture", "silence"]
    assert [row.baseline for row in active.rows] == [False, False, True, True]
    ours, other, mixture, silence = active.rows
    assert ours.overall.value == pytest.approx(12.0, abs=1e-3)
    assert ours.overall.interval == pytest.approx((10.0, 14.0), abs=1e-3)
    assert ours.stems["Drums"].value == pytest.approx(12.0, abs=1e-3)
    assert other.overall.value == pytest.approx(6.0, abs=1e-3)
    assert mixture.overall.value == 0.0
    assert (ours.silent_percent, silence.silent_percent) == (0.0, 100.0)
    assert (ours.evaluations, ours.real_time_factor, mixture.evaluations) == (8, 0.25, None)
    assert (active.songs, active.windows) == (2, 6)


def test_the_axis_holds_zero_and_all_intervals(tmp_path):
    songs = {"a": {"ours": 10.0, "bad": -9.0}, "b": {"ours": 14.0, "bad": -5.0}}
    active, _ = scorecards(read_run(evaluation(tmp_path / "run", songs)))
    assert active.axis.low == pytest.approx(-9.0, abs=1e-3)
    assert active.axis.high == pytest.approx(14.0, abs=1e-3)


def test_gains_are_paired_by_song(tmp_path):
    active, _ = scorecards(read_run(evaluation(tmp_path / "run", SONGS)))
    over = {gain.over: gain for gain in active.gains}
    assert set(over) == {"mixture", "silence"}
    assert over["mixture"].difference == pytest.approx(12.0, abs=1e-3)
    assert over["mixture"].interval == pytest.approx((10.0, 14.0), abs=1e-3)


def test_one_song_has_no_interval(tmp_path):
    active, _ = scorecards(read_run(evaluation(tmp_path / "run", {"a": SONGS["a"]})))
    assert math.isnan(active.rows[0].overall.interval.low)
    assert math.isnan(active.gains[0].interval.low)


def test_two_runs_differ_by_a_paired_interval(tmp_path):
    here = read_run(evaluation(tmp_path / "here", SONGS))
    better = {"a": {"ours": 9.0}, "b": {"ours": 11.0}}
    there = read_run(evaluation(tmp_path / "there", better))
    found = {(c.protocol, c.method): c for c in changes(here, there)}
    assert set(found) == {("active", "ours"), ("msdm", "ours")}
    ours = found["active", "ours"]
    assert (ours.here, ours.there) == pytest.approx((12.0, 10.0), abs=1e-3)
    assert ours.difference == pytest.approx(2.0, abs=1e-3)
    assert ours.interval == pytest.approx((1.0, 3.0), abs=1e-3)


def test_runs_on_other_songs_differ_without_an_interval(tmp_path):
    here = read_run(evaluation(tmp_path / "here", SONGS))
    there = read_run(evaluation(tmp_path / "there", {"c": {"ours": 9.0}}))
    change = changes(here, there)[0]
    assert change.difference == pytest.approx(3.0, abs=1e-3)
    assert math.isnan(change.interval.low)
