"""Slakh2100 folders to training shards: class stems, their sum, and who plays when.

Two layouts are read, track by track:

* Slakh2100's own: ``SRC/{train,validation,test}/TrackNNNNN/`` with ``metadata.yaml`` and
  ``stems/SXX.flac`` (BabySlakh: ``.wav``). The class stem is the *sum* of all stems of that
  ``inst_class``. A stem counts when its file exists: the flag ``audio_rendered`` is false in files
  whose audio is there. Other classes (organ, strings, ...) are dropped, so the mixture is the sum
  of the four class stems and *not* ``mix.flac``.
* MSDM's: ``TrackNNNNN/{bass,drums,guitar,piano}.wav``.

A class without a file is silent; stems of unequal length are padded with zeros at the end. Tracks
whose sum or a stem would exceed full scale are scaled as a whole and the gain is recorded. The
training split keeps the mixture and the levels of each class but no stems.

A split whose manifest exists is finished and is not made again; a run that was killed goes on with
the first unfinished split. A track that cannot be read is named and skipped, and the manifest lists
it. From the repository: ``python -m data_pipelines.slakh SRC OUT``.
"""

import argparse
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from jaxtyping import Float
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gmsdi_jax.audio import read
from gmsdi_jax.data import (
    ChunkRecord,
    Manifest,
    Settings,
    ShardWriter,
    cut,
    read_manifest,
    safe_gain,
)
from gmsdi_jax.errors import ConfigError, GMSDIError, InputError

CLASSES = ("Bass", "Drums", "Guitar", "Piano")
SPLITS = ("train", "validation", "test")
_AUDIO_SUFFIXES = (".flac", ".wav")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Advance(NamedTuple):
    """One step of the work, for a progress display; ``error`` says why a track was skipped."""

    split: str
    done: int
    total: int
    track: str
    error: str | None


@dataclass(frozen=True)
class PreparedTrack:
    """What a worker hands back: the records of one track, or the reason why there are none."""

    name: str
    """Name of the track's folder."""
    records: list[ChunkRecord]
    """Its chunks in order; empty if it could not be read."""
    gain: float
    """Factor that kept it below full scale."""
    error: str | None
    """Why it could not be read."""


def class_files(folder: Path) -> dict[str, list[Path]]:
    """The audio files of each class that has any, in either layout.

    Raises:
        InputError: The metadata is damaged, or there is no file of any class.
    """
    metadata = folder / "metadata.yaml"
    files: dict[str, list[Path]] = {name: [] for name in CLASSES}
    if metadata.exists():
        for stem, entry in sorted(_stems(metadata).items()):
            name = "Drums" if entry.get("is_drum") else entry.get("inst_class")
            if name in files:
                paths = (folder / "stems" / f"{stem}{suffix}" for suffix in _AUDIO_SUFFIXES)
                files[name].extend([path for path in paths if path.exists()][:1])
    else:
        for name in CLASSES:
            path = folder / f"{name.lower()}.wav"
            files[name].extend([path] if path.exists() else [])
    found = {name: paths for name, paths in files.items() if paths}
    if not found:
        raise InputError(f"{folder}: no audio of {', '.join(CLASSES)} in Slakh's or MSDM's layout")
    return found


def class_stems(folder: Path, sample_rate: int) -> Float[np.ndarray, "k t"]:
    """The four class stems of a track, mono (the mean of the channels), at ``sample_rate``.

    Args:
        folder: One ``TrackNNNNN``.
        sample_rate: Samples per second of the result.

    Returns:
        One row per class of `CLASSES`, zeros for a class without files (full scale = 1).

    Raises:
        InputError: A file is damaged, or there is none.
    """
    audio = {
        name: [read(path, sample_rate=sample_rate, mono=True)[0][:, 0] for path in paths]
        for name, paths in class_files(folder).items()
    }
    length = max(len(part) for parts in audio.values() for part in parts)
    if length == 0:
        raise InputError(f"{folder}: all stems are empty")
    stems = np.zeros((len(CLASSES), length), np.float32)
    for row, name in enumerate(CLASSES):
        for part in audio.get(name, ()):
            stems[row, : len(part)] += part
    return stems


def prepare_track(folder: Path, settings: Settings) -> PreparedTrack:
    """Reads one track and cuts it into records; a damaged one comes back with its error."""
    try:
        stems = class_stems(folder, settings.sample_rate)
    except (InputError, OSError) as error:
        return PreparedTrack(folder.name, [], 1.0, str(error))
    gain = safe_gain(stems)
    stems *= np.float32(gain)
    records = cut(folder.name, stems, settings.chunk, settings.hop, with_stems=settings.stems)
    return PreparedTrack(folder.name, records, gain, None)


def prepare(
    source: Path,
    out: Path,
    *,
    splits: Sequence[str] = SPLITS,
    sample_rate: int = 22050,
    chunk: int = 2**17,
    hop: int = 1024,
    with_stems: Sequence[str] = ("validation", "test"),
    records_per_shard: int = 2048,
    jobs: int | None = None,
    on_progress: Callable[[Advance], None] = lambda advance: None,
) -> dict[str, Manifest]:
    """Makes the shards of every split that is not finished yet.

    Args:
        source: Folder that holds one folder per split, each with ``TrackNNNNN`` folders.
        out: Where the shards go, one folder per split.
        splits: Which splits to make.
        sample_rate: Samples per second of the shards.
        chunk: Samples per record; the longest window that can be read from the shards.
        hop: Samples per frame of the levels.
        with_stems: Splits that keep the class stems.
        records_per_shard: A file is closed after the track that reaches this number.
        jobs: Processes that read tracks; None takes all cores. The result does not depend on it.
        on_progress: Called after every track.

    Returns:
        The manifest of each split: size, rms, histogram of label sets, damaged tracks.

    Raises:
        InputError: A split of the source is missing or none of its tracks can be read.
        ConfigError: ``out`` holds a split that was made of other tracks or with other settings.
        OutputError: ``out`` cannot be written.
    """
    base = Settings(CLASSES, sample_rate=sample_rate, chunk=chunk, hop=hop)
    plans = {}
    for split in splits:
        settings = Settings(**{**vars(base), "stems": split in with_stems})
        tracks = _tracks(source / split)
        plans[split] = (settings, tracks, _finished(out / split, settings, tracks))
    manifests = {}
    for split, (settings, tracks, finished) in plans.items():
        if finished is None:
            with ShardWriter(out / split, settings, records_per_shard) as writer:
                finished = _write_split(writer, tracks, jobs or _cores(), on_progress)
        manifests[split] = finished
    return manifests


def describe(manifest: Manifest) -> str:
    """A split in a few lines: its size, its rms and which classes play together how often."""
    windows = max(1, sum(manifest.label_sets.values()))
    lines = [
        f"{manifest.split}: {len(manifest.tracks)} tracks, {manifest.seconds / 3600:.2f} hours, "
        f"{manifest.records} records, rms {manifest.sigma_data:.4f}"
    ]
    for name, count in manifest.label_sets.items():
        lines.append(f"  {100 * count / windows:5.1f} %  {name}")
    for track, reason in manifest.damaged.items():
        lines.append(f"  skipped {track}: {reason}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code, 3 if tracks were damaged and skipped."""
    parser = argparse.ArgumentParser(description="Prepare Slakh2100 folders for training.")
    parser.add_argument("source", type=Path, help="folder with train, validation and test")
    parser.add_argument("out", type=Path, help="where the shards go")
    parser.add_argument("--splits", nargs="+", default=SPLITS)
    parser.add_argument("--jobs", type=int, help="processes (default: all cores)")
    parsed = parser.parse_args(arguments)
    try:
        with _display() as display:
            tasks = {split: display.add_task(split, total=None) for split in parsed.splits}

            def show(advance: Advance) -> None:
                number = tasks[advance.split]
                display.update(number, completed=advance.done, total=advance.total)
                if advance.error:
                    display.console.print(f"skipped {advance.track}: {advance.error}")

            manifests = prepare(
                parsed.source, parsed.out, splits=parsed.splits, jobs=parsed.jobs, on_progress=show
            )
    except GMSDIError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for manifest in manifests.values():
        print(describe(manifest))
    return InputError.exit_code if any(m.damaged for m in manifests.values()) else 0


def _display() -> Progress:
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def _stems(metadata: Path) -> dict[str, dict]:
    """The ``stems`` of a ``metadata.yaml``."""
    try:
        stems = yaml.load(metadata.read_text(encoding="utf-8"), Loader=_Loader)["stems"]
        if not all(isinstance(entry, dict) for entry in stems.values()):
            raise ValueError("a stem is not a mapping")
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{metadata} is not Slakh metadata: {reason}") from error
    return stems


def _tracks(folder: Path) -> list[Path]:
    """The track folders of one split, by name."""
    if not folder.is_dir():
        raise InputError(f"{folder} not found: give the folder that holds it, or other splits")
    tracks = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if not tracks:
        raise InputError(f"{folder} holds no track folders")
    return tracks


def _finished(folder: Path, settings: Settings, tracks: Sequence[Path]) -> Manifest | None:
    """The manifest of a finished split, None if there is none, an error if it is another's."""
    if not (folder / "manifest.json").exists():
        return None
    manifest = read_manifest(folder)
    if manifest.settings != settings:
        old, new = vars(manifest.settings), vars(settings)
        changed = ", ".join(
            f"{key} {old[key]}, now {new[key]}" for key in new if old[key] != new[key]
        )
        message = f"{folder} was made with {changed}: choose another folder or delete this one"
        raise ConfigError(message)
    known = {track.name for track in manifest.tracks} | set(manifest.damaged)
    if known != {track.name for track in tracks}:
        message = f"{folder} was made of other tracks: choose another folder or delete this one"
        raise ConfigError(message)
    return manifest


def _write_split(
    writer: ShardWriter, tracks: Sequence[Path], jobs: int, on_progress: Callable[[Advance], None]
) -> Manifest:
    """Prepares all tracks and writes them in order of their names."""
    damaged: dict[str, str] = {}
    for done, track in enumerate(_prepared(tracks, writer.settings, jobs), start=1):
        if track.error is None:
            writer.write_track(track.records, track.gain)
        else:
            damaged[track.name] = track.error
        name = writer.folder.name
        on_progress(Advance(name, done, len(tracks), track.name, track.error))
    if len(damaged) == len(tracks):
        reason = next(iter(damaged.values()))
        raise InputError(f"{tracks[0].parent}: none of {len(tracks)} tracks is readable: {reason}")
    return writer.finish(damaged)


def _prepared(tracks: Sequence[Path], settings: Settings, jobs: int) -> Iterator[PreparedTrack]:
    """The tracks in order, from a pool of processes that never runs far ahead of the writer."""
    work = partial(prepare_track, settings=settings)
    if jobs == 1:
        yield from map(work, tracks)
        return
    # A fresh interpreter per worker: forking a process that runs JAX threads can deadlock.
    context = multiprocessing.get_context("spawn")
    waiting: deque[Future[PreparedTrack]] = deque()
    with ProcessPoolExecutor(min(jobs, len(tracks)), mp_context=context) as pool:
        try:
            for track in tracks:
                waiting.append(pool.submit(work, track))
                if len(waiting) > 2 * jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _cores() -> int:
    return os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
