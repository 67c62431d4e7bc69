"""Where things are drawn."""

import pytest
from evaluated import evaluation

from gmsdi_jax.report import read_run
from gmsdi_jax.report.curve import Axis, axis, clock, height, path, percent, ticks
from gmsdi_jax.report.ranking import Point, ranked


def test_ends_of_an_axis_keep_a_margin():
    assert [percent(x, -10, 10) for x in (-10, 0, 10, 99)] == [4.0, 50.0, 96.0, 96.0]
    assert percent(0, 0, 0) == 4.0


def test_heights_run_down_and_are_cut_off():
    span = Axis(-10, 30)
    assert [height(x, span) for x in (30, 10, 0, -10, -99)] == [0.0, 50.0, 75.0, 100.0, 100.0]


def test_a_stroke_is_lines_and_a_lone_window_a_dot():
    strokes = [[Point(2.0, 0.0), Point(4.0, 10.0)], [Point(10.5, 5.0)]]
    assert path(strokes, Axis(0, 10)) == "M2 100L4 0M10.5 50h0"


@pytest.mark.parametrize(
    ("gains", "span"), [([7.0], (-5, 10)), ([12.0, -7.0], (-10, 15)), ([90.0, -60.0], (-20, 40))]
)
def test_the_axis_of_a_song_is_round_and_bounded(tmp_path, gains, span):
    methods = {str(i): gain for i, gain in enumerate(gains)}
    folder = evaluation(tmp_path / "run", {"a": methods}, protocols=["active"])
    rows = read_run(folder)
    rows.scores["active"].pop("silence")
    (song,) = ranked(rows)
    assert axis(song) == span


@pytest.mark.parametrize("seconds", [0.5, 4, 11.9, 30, 254, 3600, 40000])
def test_the_ruler_has_few_round_times_that_fit(seconds):
    found = ticks(seconds)
    assert found[0] == 0
    assert len(found) <= 9
    assert found[-1] <= 0.94 * seconds


def test_times_are_minutes_and_seconds():
    assert [clock(x) for x in (0, 59.9, 60, 605)] == ["0:00", "0:59", "1:00", "10:05"]
