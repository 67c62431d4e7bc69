"""The three official arrangements of Slakh2100: which track belongs to which split.

``original``
    By number: 1-1500 train, 1501-1875 validation, 1876-2100 test. 146 MIDI files, rendered more
    than once with other instruments, stand in two or three splits.
``redux``
    The honest one: every MIDI file once. 1710 tracks (1289, 270, 151); the other 390 are in
    ``omitted`` (211 of the original train, 105 of validation, 74 of test). The published archive
    is arranged so.
``split2``
    All 2100 tracks in splits of the original sizes, moved so that no MIDI file is in two splits.

The names are those that the data set's authors ask papers to use, without ``Slakh2100-``. The facts
are from ``splits/redux.json`` and ``splits/splits_v2.json`` of ethman/slakh-utils, commit 3f62d6a
(MIT). ``lists/slakh2100_splits.json`` holds only what deviates from the original, and says how it
was made. Against that commit's ``duplicates.json`` (2100 tracks of 1710 MIDI files) it was checked
once by hand that redux holds each MIDI file exactly once and split2 none in two splits.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from gmsdi_jax.errors import ConfigError

ARRANGEMENTS = ("original", "redux", "split2")
TRACKS = 2100
"""Tracks are called Track00001 to Track02100."""
_LISTS = Path(__file__).parent / "lists" / "slakh2100_splits.json"
_ORDER = ("train", "validation", "test", "omitted")
_LAST = {"train": 1500, "validation": 1875, "test": 2100}


def official_split(track: str, arrangement: str) -> str | None:
    """The split of a track: train, validation, test or omitted.

    Args:
        track: Name of the track's folder.
        arrangement: One of `ARRANGEMENTS`.

    Returns:
        The split, or None for a name that is not Track00001 to Track02100.

    Raises:
        ConfigError: There is no such arrangement.
    """
    return _split_of(arrangement).get(track)


def official_tracks(arrangement: str) -> dict[str, tuple[str, ...]]:
    """The tracks of every split, sorted; ``omitted`` is among the splits of redux alone.

    Raises:
        ConfigError: There is no such arrangement.
    """
    return dict(_tracks(arrangement))


def matching_arrangement(splits: Mapping[str, Iterable[str]]) -> str | None:
    """The official arrangement that a folder tree has.

    Args:
        splits: The names of the tracks in each split that is there. Splits may be missing, as
            ``omitted`` often is; one that is there must hold all of its tracks and no others.

    Returns:
        One of `ARRANGEMENTS`, or None: the tree is another data set, incomplete, or rearranged.
    """
    given = {split: tracks for split, names in splits.items() if (tracks := set(names))}
    for arrangement in ARRANGEMENTS if given else ():
        official = official_tracks(arrangement)
        if all(tracks == set(official.get(split, ())) for split, tracks in given.items()):
            return arrangement
    return None


@cache
def _split_of(arrangement: str) -> dict[str, str]:
    """The split of each track, in the order of the tracks."""
    if arrangement not in ARRANGEMENTS:
        known = ", ".join(ARRANGEMENTS)
        raise ConfigError(f"arrangement {arrangement!r} of Slakh2100 is unknown: take {known}")
    split_of = {
        f"Track{number:05d}": next(split for split, last in _LAST.items() if number <= last)
        for number in range(1, TRACKS + 1)
    }
    if arrangement != "original":
        moved = json.loads(_LISTS.read_text(encoding="utf-8"))[arrangement]
        for split, numbers in moved.items():
            split_of.update((f"Track{number:05d}", split) for number in _numbers(numbers))
    return split_of


@cache
def _tracks(arrangement: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    split_of = _split_of(arrangement)
    return tuple(
        (split, tuple(track for track, where in split_of.items() if where == split))
        for split in _ORDER
        if split in split_of.values()
    )


def _numbers(text: str) -> Iterator[int]:
    """The numbers of a list such as ``4 8-10``."""
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        yield from range(int(first), int(last or first) + 1)
