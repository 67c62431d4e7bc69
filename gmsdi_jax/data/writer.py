"""Shards are written one by one, each safely and alone; the last step makes a split of them.

A shard is the unit of work: its tracks are known before the work begins, so any process on any
machine may write any shard, in any order, and the split comes out the same byte for byte. Records
go into a hidden temporary file that is closed, reopened, counted and renamed; a *report* beside it,
written after, says that the shard is done and of what. Whoever was killed leaves finished shards,
which the next run keeps, and a temporary file, which goes with the end. `finish_split` joins the
reports to the manifest.

    .report-00003-of-00188.json    the shard is done: its tracks, checksum, and a digest of the plan
    .levels-00003-of-00188.npy     its levels, to be joined

Records are written uncompressed, one per group: 16 bit audio hardly compresses, and each record can
then be read alone.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from jaxtyping import Bool, Float

from gmsdi_jax import __version__
from gmsdi_jax.data.manifest import (
    MANIFEST,
    Manifest,
    Settings,
    Shard,
    TrackEntry,
    checked,
    shards_from_json,
    tracks_from_json,
    write_json,
)
from gmsdi_jax.data.presence import label_sets, presence
from gmsdi_jax.data.records import below_full_scale, cut, encode, to_float
from gmsdi_jax.errors import InputError, OutputError

LEVELS = "levels.npy"
WINDOW_SECONDS = 1.5
"""Windows of the histogram of label sets."""
_WRITER_OPTIONS = "group_size:1,uncompressed"
READER_OPTIONS = "readahead_buffer_size:0"


class Place(NamedTuple):
    """Which shard of a split: its number and how many there are."""

    number: int
    total: int

    def __str__(self) -> str:
        return f"{self.number:05d}-of-{self.total:05d}"


@dataclass(frozen=True)
class ShardReport:
    """What a finished shard holds; tracks and levels count from its own first record."""

    shard: Shard
    levels: Shard
    tracks: tuple[TrackEntry, ...]
    damaged: dict[str, str]
    energy: float
    plan: str
    """Digest of what the shard was to be made of."""


class ShardWriter:
    """Writes the tracks of one shard; `finish` makes it count.

    Use it as a context manager: leaving without `finish` removes what was written.

    Raises:
        OutputError: The folder cannot be written.
    """

    def __init__(self, folder: Path, place: Place, settings: Settings, plan: str = "") -> None:
        self.folder, self.place, self.settings, self._plan = folder, place, settings, plan
        self._levels: list[Float[np.ndarray, "k frames"]] = []
        self._tracks: list[TrackEntry] = []
        self._damaged: dict[str, str] = {}
        self._energy = 0.0
        # Of this writer alone: a worker whose parent was killed may still be writing its own, and
        # a cluster may run one shard on two machines.
        self._temporary = folder / f".shard-{place}.{uuid4().hex}.tmp"
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._writer: Any = ArrayRecordWriter(str(self._temporary), _WRITER_OPTIONS)

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
            self._temporary.unlink(missing_ok=True)

    def write(
        self,
        name: str,
        stems: Float[np.ndarray, "k t"],
        labels: Sequence[str] = (),
        activity: Float[np.ndarray, "k frames"] | None = None,
    ) -> None:
        """Appends a track (full scale = 1), scaled as a whole where it would leave full scale."""
        stems, gain = below_full_scale(stems)
        first = len(self._levels)
        with _writing(self.folder):
            for record in cut(name, stems, self.settings, activity):
                self._writer.write(encode(record))
                self._levels.append(np.asarray(record.levels, "<f4"))
                self._energy += float(np.sum(to_float(record.mixture) ** 2, dtype=np.float64))
        self._tracks.append(TrackEntry(name, first, stems.shape[1], gain, tuple(labels)))

    def skip(self, name: str, reason: str) -> None:
        """Notes a track that cannot be read."""
        self._damaged[name] = reason

    def finish(self) -> ShardReport:
        """Checks and renames the file and writes the report: the shard is done.

        Raises:
            OutputError: The file does not hold what was written into it.
        """
        settings, count = self.settings, len(self._levels)
        shape = (count, settings.rows, settings.chunk // settings.hop)
        levels = self.folder / f".levels-{self.place}.npy"
        with _writing(self.folder):
            writer, self._writer = self._writer, None
            writer.close()
            _check(self._temporary, count)
            shard = self.folder / f"shard-{self.place}.array_record"
            digest = sha256(self._temporary)
            self._temporary.replace(shard)
            with levels.open("wb") as file:
                np.save(file, np.reshape(np.asarray(self._levels, "<f4"), shape))
            report = ShardReport(
                Shard(shard.name, count, digest),
                Shard(levels.name, count, sha256(levels)),
                tuple(self._tracks),
                self._damaged,
                self._energy,
                self._plan,
            )
            write_json(_report(self.folder, self.place), dataclasses.asdict(report))
        return report


def read_report(folder: Path, place: Place, plan: str = "") -> ShardReport | None:
    """The report of a shard that an earlier run finished; None if it has to be written.

    A shard of another plan, a file of another checksum: each counts as not written.
    """
    try:
        values = json.loads(_report(folder, place).read_text())
        shard, levels = shards_from_json([values["shard"], values["levels"]])
        tracks = tracks_from_json(values["tracks"])
        made = ShardReport(**{**values, "shard": shard, "levels": levels, "tracks": tracks})
        report = checked(made)
        whole = report.plan == plan and all(
            sha256(folder / part.file) == part.sha256 for part in (shard, levels)
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return report if whole else None


def finish_split(
    folder: Path,
    settings: Settings,
    reports: Sequence[ShardReport],
    *,
    arrangement: str = "",
    missing: Sequence[str] = (),
) -> Manifest:
    """Joins finished shards, given in their order, to a split and writes its manifest.

    Raises:
        InputError: Not one track could be read.
        OutputError: The folder cannot be written.
    """
    damaged = {name: reason for report in reports for name, reason in report.damaged.items()}
    tracks = _joined(reports)
    if not tracks:
        reason = next(iter(damaged.values()), "there is none")
        raise InputError(f"{folder.name}: none of {len(damaged)} tracks is readable: {reason}")
    with _writing(folder):
        levels = _join_levels(folder, settings, reports)
        records, samples = len(levels), sum(track.length for track in tracks)
        energy = sum(report.energy for report in reports)
        manifest = Manifest(
            split=folder.name,
            settings=settings,
            records=records,
            seconds=samples / settings.sample_rate,
            sigma_data=float(np.sqrt(energy / samples)),
            label_sets=label_sets(_label_windows(levels, tracks, settings), settings.labels),
            shards=tuple(report.shard for report in reports),
            levels=Shard(LEVELS, records, sha256(folder / LEVELS)),
            tracks=tracks,
            damaged=damaged,
            arrangement=arrangement,
            missing=tuple(missing),
            version=__version__,
        )
        del levels
        manifest.write(folder)
        _sweep(folder, {shard.file for shard in manifest.shards})
    return manifest


class WholeTrack(NamedTuple):
    """A track in memory, for `write_split`."""

    name: str
    stems: Float[np.ndarray, "k t"]
    labels: tuple[str, ...] = ()


def write_split(
    folder: Path | str,
    settings: Settings,
    tracks: Iterable[WholeTrack],
    tracks_per_shard: int = 8,
) -> Manifest:
    """Writes tracks that are in memory as a complete split.

    Raises:
        OutputError: A split is complete there already, or the folder cannot be written.
    """
    folder = Path(folder)
    if (folder / MANIFEST).exists():
        raise OutputError(f"{folder} holds a complete split: delete it or choose another")
    everything = list(tracks)
    total = -(-len(everything) // tracks_per_shard)
    reports = []
    for number in range(total):
        with ShardWriter(folder, Place(number, total), settings) as shard:
            for track in everything[number * tracks_per_shard :][:tracks_per_shard]:
                shard.write(track.name, track.stems, track.labels)
            reports.append(shard.finish())
    return finish_split(folder, settings, reports)


def sha256(path: Path) -> str:
    """Checksum of a file, as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def track_levels(
    levels: Float[np.ndarray, "n k frames"], entry: TrackEntry, settings: Settings
) -> Float[np.ndarray, "k frames"]:
    """The levels of one whole track, end to end; the last frame may be part silence."""
    count = -(-entry.length // settings.chunk)
    parts = levels[entry.first : entry.first + count]
    whole = np.moveaxis(parts, 0, 1).reshape(parts.shape[1], -1)
    return whole[:, : -(-entry.length // settings.hop)]


def names_to_mask(names: Sequence[str], labels: Sequence[str]) -> Bool[np.ndarray, " k"]:
    """Which of ``labels`` are among ``names``."""
    return np.isin(np.asarray(labels, object), np.asarray(names, object))


class _writing:  # noqa: N801  reads as a statement
    """Failures of the file system inside, in one line."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError | RuntimeError):
            reason = " ".join(str(error).split())[:200]
            raise OutputError(f"{self._folder} cannot be written: {reason}") from error


def _report(folder: Path, place: Place) -> Path:
    return folder / f".report-{place}.json"


def _check(path: Path, count: int) -> None:
    """Counts the records of a closed file."""
    reader = ArrayRecordReader(str(path), READER_OPTIONS)
    found = reader.num_records()
    reader.close()
    if found != count:
        raise OutputError(f"{path} holds {found} of {count} records: is the disk full?")


def _joined(reports: Sequence[ShardReport]) -> tuple[TrackEntry, ...]:
    """All tracks, counted over the whole split."""
    tracks, first = [], 0
    for report in reports:
        tracks += [dataclasses.replace(t, first=t.first + first) for t in report.tracks]
        first += report.shard.records
    return tuple(tracks)


def _join_levels(
    folder: Path, settings: Settings, reports: Sequence[ShardReport]
) -> Float[np.ndarray, "n k frames"]:
    """Writes ``levels.npy`` shard by shard, never all of it in memory, and hands it back mapped."""
    shape = (
        sum(report.shard.records for report in reports),
        settings.rows,
        settings.chunk // settings.hop,
    )
    temporary = folder / f".{LEVELS}.tmp"
    whole = np.lib.format.open_memmap(temporary, mode="w+", dtype="<f4", shape=shape)
    first = 0
    for report in reports:
        whole[first : first + report.shard.records] = np.load(folder / report.levels.file)
        first += report.shard.records
    whole.flush()
    temporary.replace(folder / LEVELS)
    return whole


def _label_windows(
    levels: Float[np.ndarray, "n k frames"], tracks: Sequence[TrackEntry], settings: Settings
) -> Iterator[Bool[np.ndarray, "n k"]]:
    """The labels of each track's back-to-back windows; what is left at its end is not counted."""
    frames = max(1, round(WINDOW_SECONDS * settings.sample_rate / settings.hop))
    for track in tracks:
        own = track_levels(levels, track, settings)
        whole = own.shape[1] // frames * frames
        windows = own[:, :whole].reshape(len(own), -1, frames)
        present = presence(windows, settings.gate).T
        if settings.presence == "track":
            present = present & names_to_mask(track.labels, settings.labels)
        yield present


def _sweep(folder: Path, keep: set[str]) -> None:
    """Removes what only an unfinished split needs, and shards of an earlier plan."""
    for pattern in (".shard-*.tmp", ".report-*", ".levels-*", "shard-*.array_record"):
        for path in folder.glob(pattern):
            if path.name not in keep:
                path.unlink()
