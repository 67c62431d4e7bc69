"""The official splits of Slakh2100, against the counts that their authors publish."""

import pytest

from data_pipelines.arrangements import (
    ARRANGEMENTS,
    matching_arrangement,
    official_split,
    official_tracks,
)
from gmsdi_jax.errors import ConfigError

ALL = [f"Track{number:05d}" for number in range(1, 2101)]


@pytest.mark.parametrize(
    ("arrangement", "sizes"),
    [
        ("original", {"train": 1500, "validation": 375, "test": 225}),
        ("redux", {"train": 1289, "validation": 270, "test": 151, "omitted": 390}),
        ("split2", {"train": 1500, "validation": 375, "test": 225}),
    ],
)
def test_sizes_are_the_published_ones(arrangement, sizes):
    tracks = official_tracks(arrangement)
    assert {split: len(names) for split, names in tracks.items()} == sizes
    assert sorted(name for names in tracks.values() for name in names) == ALL  # each once
    assert all(list(names) == sorted(names) for names in tracks.values())
    assert all(
        official_split(name, arrangement) == split for split, names in tracks.items()
        for name in names
    )  # fmt: skip


def test_the_original_goes_by_number():
    for number, split in [(1, "train"), (1500, "train"), (1501, "validation"),
                          (1875, "validation"), (1876, "test"), (2100, "test")]:  # fmt: skip
        assert official_split(f"Track{number:05d}", "original") == split


def test_redux_omits_and_moves_nothing():
    omitted = official_tracks("redux")["omitted"]
    counts = [sum(name in omitted for name in names)
              for names in official_tracks("original").values()]  # fmt: skip
    assert counts == [211, 105, 74]
    for name in set(ALL) - set(omitted):
        assert official_split(name, "redux") == official_split(name, "original")


def test_split2_exchanges_tracks_in_pairs():
    """For every track that moves from one split to another one comes back: the sizes stay."""
    moves = [
        (old, new)
        for name in ALL
        if (old := official_split(name, "original")) != (new := official_split(name, "split2"))
    ]
    for pair, count in [(("train", "validation"), 94), (("train", "test"), 57),
                        (("validation", "test"), 13)]:  # fmt: skip
        assert moves.count(pair) == moves.count(pair[::-1]) == count
    assert len(moves) == 2 * (94 + 57 + 13)


def test_single_tracks_as_their_authors_list_them():
    """Track00003 moves to test; Track00004 and Track01939 are one MIDI file, and one split."""
    assert official_split("Track00003", "split2") == "test"
    assert official_split("Track00004", "split2") == official_split("Track01939", "split2")
    pair = {official_split("Track00004", "redux"), official_split("Track01939", "redux")}
    assert "omitted" in pair
    assert len(pair) == 2


@pytest.mark.parametrize(
    "name", ["Track00000", "Track02101", "Track1", "Track000001", "track00001", "Track00001 ",
             "Track0000１", "", "mix.flac"]
)  # fmt: skip
def test_other_names_are_in_no_split(name):
    assert [official_split(name, arrangement) for arrangement in ARRANGEMENTS] == [None] * 3


def test_a_tree_is_recognised():
    for arrangement in ARRANGEMENTS:
        tracks = official_tracks(arrangement)
        assert matching_arrangement(tracks) == arrangement
        for split in tracks:  # any one split tells, too
            assert matching_arrangement({split: iter(tracks[split])}) == arrangement
    original = official_tracks("original")
    assert matching_arrangement({**original, "omitted": ()}) == "original"
    assert matching_arrangement({k: v for k, v in official_tracks("redux").items()
                                 if k != "omitted"}) == "redux"  # fmt: skip


def test_a_tree_that_is_none_of_them_is_none():
    tracks = official_tracks("redux")
    assert matching_arrangement({}) is None
    assert matching_arrangement({"train": ()}) is None
    assert matching_arrangement({**tracks, "test": tracks["test"][1:]}) is None
    assert matching_arrangement({**tracks, "test": [*tracks["test"], "Track09999"]}) is None
    assert matching_arrangement({**tracks, "extra": ["Track00001"]}) is None
    assert matching_arrangement({**tracks, "test": official_tracks("split2")["test"]}) is None


def test_what_is_handed_out_can_be_changed_without_harm():
    official_tracks("redux").pop("train")
    assert len(official_tracks("redux")["train"]) == 1289


def test_an_unknown_arrangement_is_named():
    for ask in (lambda: official_split("Track00001", "new"), lambda: official_tracks("new")):
        with pytest.raises(ConfigError, match=r"'new'.*original, redux, split2"):
            ask()
