"""The tables of MTG-Jamendo: which tracks there are, how long they last and what their tags are.

A table has the columns TRACK_ID, ARTIST_ID, ALBUM_ID, PATH, DURATION (seconds) and TAGS, apart by
tabs, and its rows are ragged: each tag has a column of its own, so the fourth tag stands under no
heading. A tag is ``genre---rock``, ``instrument---piano`` or ``mood/theme---happy``, and stays so
here, since one word may be in two categories. PATH is ``NN/ID.mp3`` with NN = ID mod 100.

The tables are in the folder ``data`` of the repository MTG/mtg-jamendo-dataset (facts as of commit
1b4fa8c). ``raw_30s.tsv`` lists the 55,701 tracks of the archives with the tags that people gave;
in ``autotagging.tsv``, the same as ``raw_30s_cleantags_50artists.tsv``, spellings are merged and
rare tags dropped: 55,609 tracks, 195 tags. ``splits/split-N`` divides most of them into three lists
without a common artist.
"""

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from data_pipelines.text_files import read_text
from gmsdi_jax.errors import InputError, UnavailableError

HEADER = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]
RAW = "raw_30s.tsv"
CLEAN = ("raw_30s_cleantags_50artists.tsv", "autotagging.tsv")
"""Two names of one table. The second is a link, which some downloads turn into a file of text."""
SPLITS = ("train", "validation", "test")
MAX_BYTES = 2**26
"""The largest of the real tables has 7 MB."""

_TAG = re.compile(r"(genre|instrument|mood/theme)---\w+")
_ADVICE = "run gmsdi data download jamendo, or name the data folder of MTG/mtg-jamendo-dataset"


class Listed(NamedTuple):
    """One row."""

    name: str
    """NN/ID, such as 82/382."""
    seconds: float
    tags: tuple[str, ...]

    @property
    def part(self) -> int:
        """The number of its folder and tar, 0 to 99."""
        return int(self.name[:2])


def read_table(path: Path) -> dict[str, Listed]:
    """The rows of a table by name, with all of their tags.

    Raises:
        UnavailableError: there is no such file.
        InputError: it is no such table, or a row is malformed; the line is named.
    """
    text = _text(path)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True)
    tracks: dict[str, Listed] = {}
    try:
        header = next(rows, [])
        if header != HEADER:
            raise ValueError(f"its columns are not {', '.join(HEADER)}")
        if not text.endswith("\n"):
            raise ValueError("its last line is cut short: download it again")
        for row in rows:
            track = _track(row)
            if track.name in tracks:
                raise ValueError(f"{track.name} is there twice")
            tracks[track.name] = track
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path} line {max(1, rows.line_num)}: {error}") from error
    if not tracks:
        raise InputError(f"{path} lists no tracks: download it again")
    return tracks


def all_tracks(folder: Path) -> tuple[dict[str, Listed], str]:
    """The tracks of the archives with clean tags where there are any; and the table of the tags.

    With only one of the two tables, that one says both.

    Raises:
        UnavailableError: neither is there.
        InputError: as of `read_table`.
    """
    folder = _tables(folder, (RAW, *CLEAN))
    raw = read_table(folder / RAW) if os.path.lexists(folder / RAW) else {}
    names = [name for name in CLEAN if os.path.lexists(folder / name)]
    if not names:
        return raw, RAW
    clean = read_table(folder / names[0])
    own = {name: track._replace(tags=()) for name, track in raw.items()}
    return own | clean, names[0]


def split_lists(folder: Path, split: str) -> dict[str, dict[str, Listed]]:
    """The tracks of each list of ``split-N``.

    Raises:
        UnavailableError: a list is not there.
        InputError: as of `read_table`, or a track is in two lists.
    """
    names = [f"splits/{split}/autotagging-{part}.tsv" for part in SPLITS]
    folder = _tables(folder, names)
    lists = {part: read_table(folder / name) for part, name in zip(SPLITS, names, strict=True)}
    seen: dict[str, str] = {}
    for part, tracks in lists.items():
        for name in tracks:
            if name in seen:
                raise InputError(
                    f"{folder / 'splits' / split}: {name} is in {seen[name]} and {part}"
                )
            seen[name] = part
    return lists


def vocabulary(lists: Mapping[str, Mapping[str, Listed]]) -> tuple[str, ...]:
    """All tags of all lists, sorted."""
    return tuple(
        sorted({tag for tracks in lists.values() for t in tracks.values() for tag in t.tags})
    )


def _tables(folder: Path, names: Sequence[str]) -> Path:
    """The folder, or its folder ``data``, whichever holds a table of these names."""
    for place in (folder, folder / "data"):
        if any(os.path.lexists(place / name) for name in names):
            return place
    raise UnavailableError(f"{folder} has no {names[0]}: {_ADVICE}")


def _text(path: Path) -> str:
    try:
        return read_text(path, MAX_BYTES)
    except FileNotFoundError as error:
        raise UnavailableError(f"{path} is missing: {_ADVICE}") from error


def _track(row: Sequence[str]) -> Listed:
    """One row, of which every column is checked."""
    if len(row) < len(HEADER):
        raise ValueError(f"{len(row)} columns, at least {len(HEADER)} expected")
    track, artist, album, path, duration, *tags = row
    number = re.fullmatch(r"track_(\d{1,9})", track)
    place = re.fullmatch(r"(\d\d)/(\d{1,9})\.mp3", path)
    if not number or not re.fullmatch(r"artist_\d+ album_\d+", f"{artist} {album}"):
        raise ValueError("TRACK_ID, ARTIST_ID or ALBUM_ID is not like track_0000382")
    if not place or int(place[2]) != int(number[1]) or int(place[1]) != int(place[2]) % 100:
        raise ValueError(f"PATH {path[:40]!r} is not the place of {track}, NN/ID.mp3")
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", duration) or not float(duration):
        raise ValueError(f"DURATION {duration[:40]!r} is not a number of seconds")
    bad = next((tag for tag in tags if not _TAG.fullmatch(tag)), None)
    if bad is not None:
        raise ValueError(f"tag {bad[:40]!r} is not like genre---rock")
    return Listed(path.removesuffix(".mp3"), float(duration), tuple(dict.fromkeys(tags)))
