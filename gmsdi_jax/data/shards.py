"""A split on disk, opened: ArrayRecord files that are checked before anything is read.

    OUT/train/shard-00000-of-00004.array_record ...   the records
    OUT/train/levels.npy                              the levels of all records, [n k frames]
    OUT/train/manifest.json                           written last: the split is complete

The levels stand in one more file because choosing a window takes many looks (does anything play
here? does it share no label with that one?) and a look at a memory-mapped array costs microseconds
where a record costs a read of a quarter of a megabyte.

Records are of one length, windows of any: a window is read from as many neighbouring records of its
track as it touches.
"""

import os
import resource
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader
from jaxtyping import Bool, Float, Int, Int16

from gmsdi_jax.data.manifest import ADVICE, MANIFEST, Manifest, Shard, read_manifest
from gmsdi_jax.data.presence import presence
from gmsdi_jax.data.records import ChunkRecord, decode, to_float
from gmsdi_jax.data.writer import READER_OPTIONS, names_to_mask, sha256, track_levels
from gmsdi_jax.errors import InputError, UnavailableError

# What numpy lets through of a header of an array that is no longer one.
_HEADER_ERRORS = (TypeError, SyntaxError, TokenError, ArithmeticError, RecursionError, MemoryError)
_SPARE_FILES = 256  # for all else that a program opens


class DamagedRecordError(InputError):
    """One record cannot be read; the others can."""


class Track(NamedTuple):
    """A whole track: its mixture, its levels, and its stems where the split keeps them."""

    name: str
    mixture: Float[np.ndarray, "t c=1"]
    stems: Float[np.ndarray, "k t c=1"] | None
    levels: Float[np.ndarray, "k frames"]


@dataclass(frozen=True)
class Split:
    """An open split: records by number, windows, whole tracks, and the levels of every record."""

    folder: Path
    manifest: Manifest
    levels: Float[np.ndarray, "n k frames"]
    readers: tuple[Any, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes or tags."""
        return self.manifest.settings.labels

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the manifest, which holds those of all files: equal for equal data."""
        return sha256(self.folder / MANIFEST)

    def __len__(self) -> int:
        return self.manifest.records

    def __getitem__(self, number: int) -> ChunkRecord:
        """Record ``number`` of the split; safe to call from several threads.

        Raises:
            DamagedRecordError: The record is damaged.
        """
        ends = self._ends
        place = bisect_right(ends, number)
        if not 0 <= number < len(self):
            raise IndexError(f"{self.folder} has records 0 to {len(self) - 1}, not {number}")
        shard = self.manifest.shards[place]
        try:
            record = decode(self.readers[place].read([number - ends[place] + shard.records])[0])
            self._check(record, number)
            return record
        except (RuntimeError, InputError) as error:
            path = self.folder / shard.file
            why = f" ({error})" if isinstance(error, InputError) else ""
            message = f"{path} is damaged at record {number}{why}: delete the split and {ADVICE}"
            raise DamagedRecordError(message) from error

    def _check(self, record: ChunkRecord, number: int) -> None:
        """Refuses a record of another place, such as of files whose names were exchanged."""
        settings, track = self.manifest.settings, self.manifest.tracks[self.track_of[number]]
        place = (track.name, number - track.first)
        if (record.track, record.index) != place or len(record.mixture) != settings.chunk:
            raise InputError(f"it is record {record.index} of {record.track[:60]}")
        if (record.stems is not None) != settings.stems:
            raise InputError("it has stems, or none, other than the manifest says")
        if not np.array_equal(record.levels, self.levels[number]):
            raise InputError(f"its levels are not those of {self.manifest.levels.file}")

    def window(self, record: int, start: int, length: int) -> Int16[np.ndarray, " t"]:
        """``length`` samples of the mixture from sample ``start`` of a record on.

        Raises:
            DamagedRecordError: A record is damaged.
        """
        records = self._touched(record, start, length)
        if len(records) == 1:
            return records[0].mixture[start : start + length]
        return np.concatenate([part.mixture for part in records])[start : start + length]

    def stems(self, record: int, start: int, length: int) -> Int16[np.ndarray, "k t"]:
        """The same of the class stems, in a split that keeps them."""
        parts = [part.stems for part in self._touched(record, start, length)]
        return np.concatenate(parts, axis=1)[:, start : start + length]  # type: ignore[arg-type]

    def heard(
        self, record: int, frame: int, frames: int, gate: float
    ) -> tuple[Bool[np.ndarray, " k"], bool]:
        """The labels of a window of whole frames, and whether anything sounds in it at all.

        What counts is a root mean square of at least ``gate`` (full scale = 1).
        """
        count = self.levels.shape[2]
        if frame + frames <= count:
            levels = self.levels[record, :, frame : frame + frames]
        else:
            parts = self.levels[record : record + -(-(frame + frames) // count)]
            levels = np.moveaxis(parts, 0, 1).reshape(parts.shape[1], -1)[:, frame:][:, :frames]
        sounding = presence(levels, gate)
        if self.manifest.settings.presence == "track":
            return self._track_labels[self.track_of[record]] & sounding, bool(sounding[0])
        return sounding, bool(sounding.any())

    def _touched(self, record: int, start: int, length: int) -> list[ChunkRecord]:
        last = record + -(-(start + length) // self.manifest.settings.chunk)
        return [self[number] for number in range(record, last)]

    @cached_property
    def track_of(self) -> Int[np.ndarray, " n"]:
        """For each record, the number of its track."""
        first = [track.first for track in self.manifest.tracks]
        return np.searchsorted(first, np.arange(len(self)), side="right") - 1

    @cached_property
    def remaining(self) -> Int[np.ndarray, " n"]:
        """For each record, the samples from its start to the end of its track."""
        tracks = self.manifest.tracks
        first = np.array([track.first for track in tracks])[self.track_of]
        length = np.array([track.length for track in tracks])[self.track_of]
        return length - (np.arange(len(self)) - first) * self.manifest.settings.chunk

    @cached_property
    def _ends(self) -> list[int]:
        """For each shard, the number of the first record that comes after it."""
        return list(accumulate(shard.records for shard in self.manifest.shards))

    @cached_property
    def _track_labels(self) -> Bool[np.ndarray, "tracks k"]:
        return np.stack([names_to_mask(t.labels, self.labels) for t in self.manifest.tracks])

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
            levels = track_levels(self.levels, entry, settings)
            yield Track(entry.name, to_float(mixture)[:, None], stems, levels)

    def damage(self) -> Iterator[str]:
        """One line per file whose checksum is wrong, with the records in it that cannot be read.

        Files of records that the manifest does not name are named as well.

        It reads everything.
        """
        first = 0
        for shard in (*self.manifest.shards, self.manifest.levels):
            path = self.folder / shard.file
            if sha256(path) != shard.sha256:
                bad = [n for n in range(shard.records) if not self._readable(first + n)]
                records = f"records {', '.join(map(str, bad[:10]))}" if bad else "no record of it"
                where = "" if shard is self.manifest.levels else f", {records} unreadable"
                yield f"{path} is damaged (checksum{where}): delete the split and {ADVICE}"
            first += shard.records
        known = {shard.file for shard in self.manifest.shards}
        for path in sorted(self.folder.glob("*.array_record")):
            if path.name not in known:
                yield f"{path} does not belong to the split: remove it"

    def _readable(self, number: int) -> bool:
        try:
            return number >= len(self) or bool(self[number])
        except DamagedRecordError:
            return False


def open_split(folder: Path | str, *, verify: bool = False) -> Split:
    """Opens a split after checking that every file is there with the right number of records.

    Args:
        folder: One split of a prepared data set, for example ``OUT/train``.
        verify: Also compare the checksum of every file, which reads all of them.

    Raises:
        UnavailableError: The split was not prepared, a file of it is missing, or it has more files
            than may be open.
        InputError: A file is damaged.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    for shard in (*manifest.shards, manifest.levels):
        path = folder / shard.file
        if not path.is_file():
            raise UnavailableError(f"{path} is missing: delete the split and {ADVICE}")
        if verify and sha256(path) != shard.sha256:
            raise InputError(f"{path} is damaged (checksum): delete the split and {ADVICE}")
    _allow_open_files(folder, len(manifest.shards))
    readers = tuple(_open_shard(folder, shard) for shard in manifest.shards)
    settings = manifest.settings
    expected = (manifest.records, settings.rows, settings.chunk // settings.hop)
    path = folder / manifest.levels.file
    try:
        levels = np.asarray(np.load(path, mmap_mode="r"))
    except (OSError, ValueError, EOFError, *_HEADER_ERRORS) as error:
        reason = " ".join(str(error).split())[:100]
        message = f"{path} is damaged ({reason}): delete the split and {ADVICE}"
        raise InputError(message) from error
    if levels.shape != expected or levels.dtype != np.float32:
        found = f"{levels.dtype} {levels.shape}, not float32 {expected}"
        raise InputError(f"{path} holds {found}: delete the split and {ADVICE}")
    return Split(folder, manifest, levels, readers)


def _allow_open_files(folder: Path, count: int) -> None:
    """Sees to it that so many more files may be open.

    1024, a usual limit, is less than a large data set has, and a reader that may not open its file
    takes it for an empty one.

    Raises:
        UnavailableError: This machine allows less.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = len(os.listdir("/dev/fd")) + count + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < need:
        if hard != resource.RLIM_INFINITY and hard < need:
            message = f"{folder} has {count} files, more than may be open here"
            raise UnavailableError(f"{message}: run ulimit -n {need}, or ask for that limit")
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))


def _open_shard(folder: Path, shard: Shard) -> Any:
    path = folder / shard.file
    try:
        reader = ArrayRecordReader(str(path), READER_OPTIONS)
        found = reader.num_records()
    except RuntimeError as error:
        raise InputError(f"{path} is damaged: delete the split and {ADVICE}") from error
    if found != shard.records:
        # A truncated file opens as an empty one with these reader options.
        count = f"{found} of {shard.records} records"
        raise InputError(f"{path} is damaged ({count}): delete the split and {ADVICE}")
    return reader
