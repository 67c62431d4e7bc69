"""Means, intervals over songs, and the scorecard."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gmsdi_jax.errors import InputError
from gmsdi_jax.metrics.protocols import WindowScore
from gmsdi_jax.metrics.scores import TrackScore
from gmsdi_jax.metrics.summary import (
    Method,
    bootstrap_interval,
    over_tracks,
    paired_interval,
    summarise,
    table,
)


def row(song, window, stem, improvement, active=True, silent=False, level=-6.0) -> WindowScore:
    return WindowScore(
        track=str(song),
        window=window,
        start_seconds=2.0 * window,
        stem=stem,
        active=active,
        si_sdr=improvement,
        si_sdr_mixture=0.0,
        improvement=improvement,
        silent_output=silent,
        level_db=level,
    )


def one_stem(scores) -> list[WindowScore]:
    """Songs x windows of scores of one stem."""
    return [row(i, j, "Bass", x) for i, song in enumerate(scores) for j, x in enumerate(song)]


def test_all_is_the_mean_of_the_stems_means_over_windows():
    rows = [
        row("a", 0, "Bass", 1.0),
        row("a", 1, "Bass", 2.0, silent=True),
        row("b", 0, "Bass", 6.0),
        row("a", 0, "Drums", 10.0),
        row("a", 1, "Drums", np.nan, active=False, level=-30.0),
        row("b", 0, "Drums", np.nan, active=False, level=-50.0),
    ]
    summary = summarise(rows)
    assert summary.stems == {"Bass": 3.0, "Drums": 10.0}
    assert summary.medians == {"Bass": 2.0, "Drums": 10.0}
    assert summary.overall == 6.5
    assert (summary.windows, summary.songs) == (3, 2)
    assert summary.silent_output_rate == 0.25
    assert summary.absent_level == -40.0


def test_a_stem_without_scores_is_nan_and_leaves_all_alone():
    rows = [row("a", 0, "Bass", 4.0), row("a", 0, "Drums", np.nan, active=False)]
    summary = summarise(rows)
    assert np.isnan(summary.stems["Drums"])
    assert summary.overall == 4.0


def test_no_rows_are_refused():
    for function in (summarise, bootstrap_interval):
        with pytest.raises(InputError, match="no window"):
            function([])


def test_interval_covers_the_true_mean_in_about_95_percent_of_experiments():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(300):
        songs = rng.standard_normal((40, 1)) + 0.3 * rng.standard_normal((40, 3))
        low, high = bootstrap_interval(one_stem(songs), n=400, seed=seed)["All"]
        covered += low <= 0 <= high
    assert 0.90 <= covered / 300 <= 0.99


def test_more_windows_of_the_same_song_do_not_shrink_the_interval():
    scores = np.random.default_rng(1).standard_normal((12, 5))
    once = bootstrap_interval(one_stem(scores))["All"]
    often = bootstrap_interval(one_stem(np.tile(scores, (1, 8))))["All"]
    assert_allclose(often, once, atol=1e-9)


def test_interval_has_the_width_of_the_standard_error_over_songs():
    songs = np.random.default_rng(2).standard_normal((200, 1))
    low, high = bootstrap_interval(one_stem(songs))["Bass"]
    assert_allclose(high - low, 2 * 1.96 * songs.std() / np.sqrt(200), rtol=0.08)


def test_songs_can_be_chosen_and_one_song_has_no_interval():
    rows = one_stem([[0.0], [0.0], [100.0]])
    assert bootstrap_interval(rows, songs=["0", "1"])["All"] == (0.0, 0.0)
    assert np.isnan(bootstrap_interval(rows, songs=["2"])["All"]).all()
    intervals = bootstrap_interval([*rows, row(0, 0, "Piano", 5.0)])
    assert np.isnan(intervals["Piano"]).all()
    assert np.isfinite(intervals["All"]).all()


def test_pairing_cancels_what_makes_songs_hard():
    rng = np.random.default_rng(3)
    hard = 10 * rng.standard_normal((30, 1))
    noise = 0.1 * rng.standard_normal((30, 4))
    a, b = one_stem(hard + 1 + noise), one_stem(np.repeat(hard, 4, 1))
    low, high = paired_interval(a, b)
    assert 0.9 < low < 1.0 + noise.mean() < high < 1.1
    wide = bootstrap_interval(a)["All"]
    assert wide.high - wide.low > 4


def test_pairing_refuses_different_windows():
    with pytest.raises(InputError, match="1 scores"):
        paired_interval(one_stem([[1.0, 2.0]]), one_stem([[1.0]]))


def test_table_has_one_aligned_line_per_method():
    drums = [row(song, 0, "Drums", 3.0) for song in range(3)]
    rows = one_stem([[1.0], [2.0], [3.0]]) + drums
    text = table([Method("mixture", rows), Method("ours, 50 steps", rows, 100, 0.5)])
    lines = text.splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["Method", "All", "Bass", "Drums", "silent %", "absent dB", "NFE", "RTF"]
    assert cells[2][0] == "mixture"
    assert cells[2][2:] == ["2.00", "3.00", "0.0", "-", "-", "-"]
    assert cells[3][1].startswith("2.50 ± ")
    assert cells[3][6:] == ["100", "0.5"]


def test_pairing_weighs_several_seeds_of_one_method_as_one():
    """Two equal seeds of a method against one of another: as if there were one of each."""
    a, b = one_stem([[3.0, 5.0], [2.0, 4.0]]), one_stem([[1.0, 1.0], [2.0, 0.0]])
    assert paired_interval(a + a, b) == paired_interval(a, b)
    assert paired_interval(b, a + a) == paired_interval(b, a)
    assert paired_interval(a, b).low == 2.0


def test_other_protocols_and_tracks_stand_in_columns_beside():
    rows = [row("a", 0, "Bass", 1.0), row("a", 0, "Drums", np.nan, active=False, level=-31.26)]
    others = [row("a", 0, "Bass", 1.0), row("a", 0, "Drums", 101.0, active=False)]
    tracks = [TrackScore("Bass", 4.0, 0.5)]
    text = table([Method("ours", rows, beside={"msdm": others}, tracks=tracks)])
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    found = dict(zip(cells[0], cells[2], strict=True))
    assert (found["All"], found["msdm"], found["absent dB"]) == ("1.00", "51.00", "-31.3")
    assert (found["SDR"], found["STFT"]) == ("4.00", "0.50")


def test_tracks_are_medians_of_ratios_and_means_of_distances_over_stems():
    bass = [TrackScore("Bass", x, y) for x, y in ((0.0, 1.0), (1.0, 1.0), (20.0, 4.0))]
    drums = [TrackScore("Drums", 5.0, 6.0), TrackScore("Drums", np.nan, np.nan)]
    silent = [TrackScore("Piano", np.nan, np.nan)]
    assert over_tracks(bass + drums + silent) == (3.0, 4.0)
    assert np.isnan(over_tracks([])).all()
