"""MTG-Jamendo: audio in tars or folders, and the tables of its repository.

Layout and columns are those of MTG/mtg-jamendo-dataset at 1b4fa8c: tables with lines that end in
CRLF, as many columns as there are tags, ``autotagging.tsv`` a link; lists of checksums; files
called ``NN/ID.low.mp3`` where the tables say ``NN/ID.mp3``; tars whose first member is the folder.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from layouts.archives import audio_bytes, entry, tar

HEADER = ("TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS")


class Track(NamedTuple):
    """One line of the tables."""

    number: int
    artist: int
    tags: tuple[str, ...]
    seconds: float = 2.0
    sample_rate: int = 22050
    channels: int = 1

    @property
    def part(self) -> str:
        """The folder, 00 to 99."""
        return f"{self.number % 100:02d}"

    @property
    def name(self) -> str:
        """Like 82/382."""
        return f"{self.part}/{self.number}"

    def row(self, tags: Sequence[str]) -> tuple[str, ...]:
        """The columns, with these tags."""
        return (
            f"track_{self.number:07d}",
            f"artist_{self.artist:06d}",
            f"album_{self.artist:06d}",
            f"{self.name}.mp3",
            f"{self.seconds:.1f}",
            *tags,
        )

    def mp3(self) -> bytes:
        """A tone whose frequency follows from the number."""
        return audio_bytes(
            self.frequency,
            self.seconds,
            format="MP3",
            sample_rate=self.sample_rate,
            channels=self.channels,
        )

    @property
    def frequency(self) -> float:
        """Hz."""
        return 200.0 + 10 * (self.number % 97)


TRACKS = (
    Track(100, 1, ("genre---rock", "instrument---guitar", "mood/theme---happy")),
    Track(200, 2, ("genre---jazz",)),
    Track(1300, 3, ("genre---rock", "instrument---piano"), sample_rate=44100, channels=2),
    Track(101, 1, ("genre---jazz", "mood/theme---happy"), seconds=3.0),
    Track(201, 4, ("genre---rock", "instrument---guitar")),
    Track(97, 5, ("instrument---piano",)),
    Track(198, 5, ("genre---jazz", "instrument---guitar")),
    Track(199, 1, ("genre---rock",), seconds=2.5),
)
"""Parts 00, 01, 97, 98 and 99. Artists 1 and 5 stand on both sides of 97 | 98."""

SPLIT_OF_ARTIST = {1: "train", 2: "validation", 3: "train", 4: "test", 5: "train"}
"""The lists of split-0: no artist is in two."""

RAW_ONLY = "genre---onlyraw"
"""A tag of the first track in raw_30s.tsv that autotagging.tsv was cleaned of."""


def table(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> Path:
    """A ragged table of tabs, in the bytes of the real ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(row) + "\r\n" for row in (header, *rows)]
    path.write_bytes("".join(lines).encode())
    return path


def metadata(folder: Path, tracks: Sequence[Track] = TRACKS) -> Path:
    """The tables of the repository's ``data`` folder; the last track has no clean tags."""
    raw = [t.row((*t.tags, RAW_ONLY) if t == tracks[0] else t.tags) for t in tracks]
    table(folder / "raw_30s.tsv", raw)
    clean = [track.row(track.tags) for track in tracks[:-1]]
    table(folder / "raw_30s_cleantags_50artists.tsv", clean)
    (folder / "autotagging.tsv").symlink_to("raw_30s_cleantags_50artists.tsv")
    for split in ("train", "validation", "test"):
        rows = [t.row(t.tags) for t in tracks if SPLIT_OF_ARTIST[t.artist] == split]
        table(folder / "splits" / "split-0" / f"autotagging-{split}.tsv", rows)
    return folder


def folders(root: Path, tracks: Sequence[Track] = TRACKS, *, low: bool = True) -> Path:
    """The audio as it is extracted: NN/ID.low.mp3, or NN/ID.mp3 of the full quality."""
    for track in tracks:
        (root / track.part).mkdir(parents=True, exist_ok=True)
        path = root / track.part / f"{track.number}{'.low' if low else ''}.mp3"
        path.write_bytes(track.mp3())
    return root


def tars(root: Path, tracks: Sequence[Track] = TRACKS) -> Path:
    """The audio as it is downloaded: raw_30s_audio-low-NN.tar, each with its folder first."""
    for part in sorted({track.part for track in tracks}):
        files = [(f"{t.name}.low.mp3", t.mp3()) for t in tracks if t.part == part]
        tar(root / f"raw_30s_audio-low-{part}.tar", [entry(part), *files])
    return root


def checksums(folder: Path, archives: Path, tracks: Sequence[Track] = TRACKS) -> Path:
    """The lists of sha256 of the tars in ``archives`` and of the tracks."""
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {
        "tars": [(p.name, p.read_bytes()) for p in sorted(archives.glob("raw_30s_*.tar"))],
        "tracks": sorted((f"{track.name}.low.mp3", track.mp3()) for track in tracks),
    }
    for kind, files in hashes.items():
        lines = [f"{hashlib.sha256(data).hexdigest()} {name}\n" for name, data in files]
        (folder / f"raw_30s_audio-low_sha256_{kind}.txt").write_text("".join(lines))
    return folder


def dataset(root: Path, tracks: Sequence[Track] = TRACKS) -> tuple[Path, Path]:
    """All of it: the folder of the tars, and that of the tables with the lists of checksums."""
    archives = tars(root / "audio", tracks)
    tables = metadata(root / "data", tracks)
    checksums(tables / "download", archives, tracks)
    return archives, tables
