"""A split on disk: ArrayRecord files that are written safely and checked when opened.

    OUT/train/shard-00000-of-00004.array_record ...   the records
    OUT/train/levels.npy                              the levels of all records, [n k frames]
    OUT/train/manifest.json                           written last: the split is complete

Records are written uncompressed, one per group: 16 bit audio hardly compresses, and each record can
then be read alone. A writer uses hidden temporary names, closes, reopens and counts every file, and
renames it; whatever a killed run leaves behind is swept away by the next.

The levels stand in one more file because choosing a window takes many looks (does anything play
here? does it share no label with that one?) and a look at a memory-mapped array costs microseconds
where a record costs a read of a quarter of a megabyte.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from jaxtyping import Float

from gmsdi_jax.data.manifest import (
    ADVICE,
    MANIFEST,
    Manifest,
    Settings,
    Shard,
    TrackEntry,
    read_manifest,
)
from gmsdi_jax.data.presence import label_sets
from gmsdi_jax.data.records import ChunkRecord, decode, encode, to_float
from gmsdi_jax.errors import InputError, OutputError, UnavailableError

LEVELS = "levels.npy"
WINDOW_SECONDS = 1.5
_WRITER_OPTIONS = "group_size:1,uncompressed"
_READER_OPTIONS = "readahead_buffer_size:0"


class Track(NamedTuple):
    """A whole track: its mixture, its levels, and its stems where the split keeps them."""

    name: str
    mixture: Float[np.ndarray, "t c=1"]
    stems: Float[np.ndarray, "k t c=1"] | None
    levels: Float[np.ndarray, "k frames"]


class ShardWriter:
    """Writes the tracks of one split; `finish` makes the split complete.

    Use it as a context manager: leaving without `finish` (an error, Ctrl-C) removes what was
    written.

    Raises:
        OutputError: The folder cannot be written, or a split is complete there already.
    """

    def __init__(self, folder: Path, settings: Settings, records_per_shard: int = 2048) -> None:
        self.folder, self.settings = folder, settings
        self._records_per_shard = records_per_shard
        self._writer: Any = None
        self._counts: list[int] = []
        self._levels: list[Float[np.ndarray, "k frames"]] = []
        self._tracks: list[TrackEntry] = []
        self._energy = 0.0
        if (folder / MANIFEST).exists():
            raise OutputError(f"{folder} holds a complete split: delete it or choose another")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be made: {error}") from error
        self._sweep()

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
            self._writer = None
        if not (self.folder / MANIFEST).exists():
            self._sweep()

    def write_track(self, records: Sequence[ChunkRecord], gain: float = 1.0) -> None:
        """Appends all records of one track; ``gain`` is the factor its stems were scaled by."""
        writer = self._writer
        if writer is None or self._counts[-1] >= self._records_per_shard:
            writer = self._open_next()
        first = len(self._levels)
        try:
            for record in records:
                writer.write(encode(record))
        except (OSError, RuntimeError) as error:
            raise OutputError(f"{self.folder} cannot be written: {error}") from error
        for record in records:
            self._levels.append(np.asarray(record.levels, "<f4"))
            self._energy += float(np.sum(to_float(record.mixture) ** 2, dtype=np.float64))
        self._counts[-1] += len(records)
        length = sum(record.valid for record in records)
        self._tracks.append(TrackEntry(records[0].track, first, length, gain))

    def finish(self, damaged: dict[str, str] | None = None) -> Manifest:
        """Checks and renames the files and writes the manifest: the split is complete.

        Raises:
            InputError: No track was written.
            OutputError: A file does not hold what was written into it.
        """
        if not self._tracks:
            raise InputError(f"{self.folder}: no track could be read, nothing to write")
        try:
            self._writer.close()
            self._writer = None
            shards = tuple(self._close_shard(number) for number in range(len(self._counts)))
            levels = np.stack(self._levels)
            np.save(self.folder / LEVELS, levels)
        except (OSError, RuntimeError) as error:
            raise OutputError(f"{self.folder} cannot be written: {error}") from error
        settings = self.settings
        samples = sum(track.length for track in self._tracks)
        frames = max(1, round(WINDOW_SECONDS * settings.sample_rate / settings.hop))
        manifest = Manifest(
            split=self.folder.name,
            settings=settings,
            records=len(levels),
            seconds=samples / settings.sample_rate,
            sigma_data=float(np.sqrt(self._energy / max(samples, 1))),
            label_sets=label_sets(
                (_track_levels(levels, track, settings) for track in self._tracks),
                settings.labels,
                frames,
                settings.gate,
            ),
            shards=shards,
            levels=Shard(LEVELS, len(levels), sha256(self.folder / LEVELS)),
            tracks=tuple(self._tracks),
            damaged=damaged or {},
        )
        manifest.write(self.folder)
        return manifest

    def _temporary(self, number: int) -> Path:
        return self.folder / f".shard-{number:05d}.tmp"

    def _open_next(self) -> Any:
        """Closes the current file and starts the next."""
        try:
            if self._writer is not None:
                self._writer.close()
            path = self._temporary(len(self._counts))
            self._writer = ArrayRecordWriter(str(path), _WRITER_OPTIONS)
        except (OSError, RuntimeError) as error:
            raise OutputError(f"{self.folder} cannot be written: {error}") from error
        self._counts.append(0)
        return self._writer

    def _close_shard(self, number: int) -> Shard:
        """Counts the records of a closed temporary file and gives it its final name."""
        path, count = self._temporary(number), self._counts[number]
        reader = ArrayRecordReader(str(path), _READER_OPTIONS)
        found = reader.num_records()
        reader.close()
        if found != count:
            raise OutputError(f"{path} holds {found} of {count} records: is the disk full?")
        name = f"shard-{number:05d}-of-{len(self._counts):05d}.array_record"
        digest = sha256(path)
        path.rename(self.folder / name)
        return Shard(name, count, digest)

    def _sweep(self) -> None:
        """Removes what an unfinished run left in the folder."""
        for pattern in (".shard-*.tmp", "shard-*.array_record", LEVELS, f".{MANIFEST}.tmp"):
            for path in self.folder.glob(pattern):
                path.unlink()


@dataclass(frozen=True)
class Split:
    """An open split: records by number, whole tracks, and the levels of every record."""

    folder: Path
    manifest: Manifest
    levels: Float[np.ndarray, "n k frames"]
    readers: tuple[Any, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.manifest.settings.labels

    @cached_property
    def _ends(self) -> list[int]:
        """For each shard, the number of the first record that comes after it."""
        return list(accumulate(shard.records for shard in self.manifest.shards))

    def __len__(self) -> int:
        return self.manifest.records

    def __getitem__(self, number: int) -> ChunkRecord:
        """Record ``number`` of the split; safe to call from several threads.

        Raises:
            InputError: The record is damaged.
        """
        ends = self._ends
        place = bisect_right(ends, number)
        if not 0 <= number < len(self):
            raise IndexError(f"{self.folder} has records 0 to {len(self) - 1}, not {number}")
        shard = self.manifest.shards[place]
        try:
            return decode(self.readers[place].read([number - ends[place] + shard.records])[0])
        except (RuntimeError, InputError) as error:
            path = self.folder / shard.file
            message = f"{path} is damaged at record {number}: delete the split and {ADVICE}"
            raise InputError(message) from error

    def tracks(self) -> Iterator[Track]:
        """All tracks in order, whole and without padding, float32 (full scale = 1)."""
        settings = self.manifest.settings
        for entry in self.manifest.tracks:
            count = -(-entry.length // settings.chunk)
            records = [self[entry.first + i] for i in range(count)]
            mixture = np.concatenate([record.mixture for record in records])[: entry.length]
            stems = None
            if settings.stems:
                parts = [record.stems for record in records if record.stems is not None]
                stems = to_float(np.concatenate(parts, axis=1)[:, : entry.length])[..., None]
            levels = _track_levels(self.levels, entry, settings)
            yield Track(entry.name, to_float(mixture)[:, None], stems, levels)


def open_split(folder: Path | str, *, verify: bool = False) -> Split:
    """Opens a split after checking that every file is there with the right number of records.

    Args:
        folder: One split of a prepared data set, for example ``OUT/train``.
        verify: Also compare the checksum of every file, which reads all of them.

    Raises:
        UnavailableError: The split was not prepared, or a file of it is missing.
        InputError: A file is damaged.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    for shard in (*manifest.shards, manifest.levels):
        path = folder / shard.file
        if not path.exists():
            raise UnavailableError(f"{path} is missing: delete the split and {ADVICE}")
        if verify and sha256(path) != shard.sha256:
            raise InputError(f"{path} is damaged (checksum): delete the split and {ADVICE}")
    readers = tuple(_open_shard(folder, shard) for shard in manifest.shards)
    settings = manifest.settings
    expected = (manifest.records, len(settings.labels), settings.chunk // settings.hop)
    path = folder / manifest.levels.file
    try:
        levels = np.asarray(np.load(path, mmap_mode="r"))
    except (OSError, ValueError) as error:
        message = f"{path} is damaged ({error}): delete the split and {ADVICE}"
        raise InputError(message) from error
    if levels.shape != expected:
        message = f"{path} has shape {levels.shape}, not {expected}: delete the split and {ADVICE}"
        raise InputError(message)
    return Split(folder, manifest, levels, readers)


def sha256(path: Path) -> str:
    """Checksum of a file, as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open_shard(folder: Path, shard: Shard) -> Any:
    path = folder / shard.file
    try:
        reader = ArrayRecordReader(str(path), _READER_OPTIONS)
        found = reader.num_records()
    except RuntimeError as error:
        raise InputError(f"{path} is damaged: delete the split and {ADVICE}") from error
    if found != shard.records:
        # A truncated file opens as an empty one with these reader options.
        count = f"{found} of {shard.records} records"
        raise InputError(f"{path} is damaged ({count}): delete the split and {ADVICE}")
    return reader


def _track_levels(
    levels: Float[np.ndarray, "n k frames"], entry: TrackEntry, settings: Settings
) -> Float[np.ndarray, "k frames"]:
    """The levels of one whole track, end to end; the last frame may be part silence."""
    count = -(-entry.length // settings.chunk)
    parts = levels[entry.first : entry.first + count]
    whole = np.moveaxis(parts, 0, 1).reshape(parts.shape[1], -1)
    return whole[:, : -(-entry.length // settings.hop)]
