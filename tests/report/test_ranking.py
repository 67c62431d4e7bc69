"""The order of the songs, and curves over time."""

import math

import pytest
from evaluated import evaluation

from gmsdi_jax.metrics.scores import read_scores, write_scores
from gmsdi_jax.report import read_run
from gmsdi_jax.report.ranking import ranked


def test_the_song_that_the_first_method_is_worst_at_comes_first(tmp_path):
    songs = {
        "middle": {"ours": 10.0, "other": 30.0},
        "best": {"ours": 20.0, "other": 10.0},
        "worst": {"ours": 5.0, "other": 20.0},
    }
    found = ranked(read_run(evaluation(tmp_path / "run", songs)))
    assert [song.name for song in found] == ["worst", "middle", "best"]
    assert found[0].scores["ours"].overall == pytest.approx(5.0, abs=1e-3)
    assert found[0].scores["other"].stems["Bass"] == pytest.approx(20.0, abs=1e-3)
    assert found[0].sounding == ["Bass", "Drums"]
    assert found[0].seconds == 8.0


def test_a_song_without_a_score_comes_last(tmp_path):
    songs = {"a": {"ours": 10.0}, "b": {"ours": 20.0}}
    folder = evaluation(tmp_path / "run", songs)
    rows = read_scores(folder)
    write_scores(folder, [r._replace(improvement=math.nan) if r.track == "a" else r for r in rows])
    assert [song.name for song in ranked(read_run(folder))] == ["b", "a"]


def test_a_curve_has_a_point_at_the_middle_of_each_window(tmp_path):
    (song,) = ranked(read_run(evaluation(tmp_path / "run", {"a": {"ours": 10.0}}, seconds=10)))
    (stroke,) = song.scores["ours"].curves["Bass"]
    assert [point.seconds for point in stroke] == [2.0, 4.0, 6.0, 8.0]
    assert [point.improvement for point in stroke] == pytest.approx([10.0] * 4, abs=1e-3)


def test_a_window_without_a_score_cuts_the_curve_and_seeds_are_averaged(tmp_path):
    folder = evaluation(tmp_path / "run", {"a": {"ours": 10.0}}, seconds=12)
    rows = [row for row in read_scores(folder) if row.window != 2]
    write_scores(folder, rows + [r._replace(seed=1, improvement=14.0) for r in rows])
    (song,) = ranked(read_run(folder))
    before, after = song.scores["ours"].curves["Bass"]
    assert [point.seconds for point in before] == [2.0, 4.0]
    assert [point.seconds for point in after] == [8.0, 10.0]
    assert before[0].improvement == pytest.approx(12.0, abs=1e-3)
