"""Plans become shards: resumable, in parallel, and the same bytes however often it was stopped.

A shard is the unit of work (`gmsdi_jax.data.writer`). Its tracks are fixed by the plan, so it does
not matter which process writes it, or when. A run that was killed goes on with the shards that are
not finished; a split whose manifest exists is not made again. A track that cannot be read is named
and skipped, and the manifest lists it.
"""

import dataclasses
import fcntl
import hashlib
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from data_pipelines.corpus import Plan, Source, SourceAudio
from data_pipelines.tars import printable
from gmsdi_jax.data import (
    MANIFEST,
    Manifest,
    Place,
    Settings,
    ShardReport,
    ShardWriter,
    finish_split,
    read_manifest,
    read_report,
)
from gmsdi_jax.errors import ConfigError, InputError, OutputError, UnavailableError

_ORPHAN_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How plans are cut into shards; `Settings` explains the fields they share."""

    sample_rate: int = 22050
    """Hz."""
    chunk: int = 2**17
    """Samples per record; windows may be longer or shorter."""
    hop: int = 1024
    """Samples per frame of the levels."""
    gate: float | None = None
    """Root mean square from which a class counts as playing; by default that of the evaluation."""
    with_stems: tuple[str, ...] = ("validation", "test")
    """Splits that keep the class stems; training needs none."""
    tracks_per_shard: int = 8
    """Tracks per file."""

    def settings(self, plan: Plan) -> Settings:
        """Those of one split."""
        given = {} if self.gate is None else {"gate": self.gate}
        return Settings(
            plan.labels,
            sample_rate=self.sample_rate,
            chunk=self.chunk,
            hop=self.hop,
            stems=plan.presence == "window" and plan.split in self.with_stems,
            presence=plan.presence,
            **given,
        )


class Advance(NamedTuple):
    """A shard is done: how many of a split's tracks that makes, and which were skipped and why."""

    split: str
    done: int
    total: int
    skipped: dict[str, str]


@dataclass(frozen=True)
class ShardTask:
    """All that any process needs to write one shard."""

    folder: Path
    place: Place
    settings: Settings
    sources: tuple[Source, ...]

    @property
    def digest(self) -> str:
        """What the shard is made of: its settings, and the names and labels of its tracks."""
        names = [[source.name, *source.labels] for source in self.sources]
        text = json.dumps([dataclasses.asdict(self.settings), names])
        return hashlib.sha256(text.encode()).hexdigest()

    def finished(self) -> ShardReport | None:
        """The report of an earlier run, if there is one and its files are whole."""
        return read_report(self.folder, self.place, self.digest)

    def read(self) -> Iterator[tuple[Source, SourceAudio | InputError]]:
        """Each track in order: its audio, or in one line why it cannot be read."""
        for source in self.sources:
            try:
                audio = source.read(self.settings.sample_rate)
                if not audio.stems.shape[1]:
                    raise InputError(f"{source.name} is empty")
            except (InputError, OSError) as error:
                yield source, InputError(printable(" ".join(str(error).split())))
            else:
                yield source, audio

    def write(self) -> ShardReport:
        """Reads the tracks and writes the shard; those that cannot be read are in the report."""
        with ShardWriter(self.folder, self.place, self.settings, self.digest) as shard:
            for source, audio in self.read():
                if isinstance(audio, InputError):
                    shard.skip(source.name, str(audio))
                else:
                    shard.write(source.name, audio.stems, source.labels, audio.activity)
            return shard.finish()


def prepare(
    plans: Mapping[str, Plan],
    out: Path,
    cut: Cut = Cut(),
    *,
    jobs: int | None = None,
    on_progress: Callable[[Advance], None] = lambda advance: None,
) -> dict[str, Manifest]:
    """Makes the shards of every split that is not finished yet.

    Args:
        plans: What to prepare, by split.
        out: Where the shards go, one folder per split.
        cut: How.
        jobs: Processes that read tracks; None takes all cores. The result does not depend on it.
        on_progress: Called after every shard.

    Returns:
        The manifest of each split: size, rms, histogram of label sets, damaged tracks.

    Raises:
        InputError: A split has no track that can be read.
        ConfigError: ``out`` holds a split that was made of other tracks or with other settings.
        OutputError: ``out`` cannot be written, or another process prepares there.
    """
    done = {name: finished(out / name, plan, cut) for name, plan in plans.items()}
    failures: list[InputError] = []
    with locked(out):
        for name, plan in plans.items():
            if done[name] is None:
                try:
                    tasks = shard_tasks(out / name, plan, cut)
                    reports = _written(tasks, name, jobs or os.cpu_count() or 1, on_progress)
                    done[name] = join(out / name, plan, cut, reports)
                except InputError as error:  # the other splits can be made all the same
                    failures.append(error)
    if failures:
        raise InputError("; ".join(map(str, failures)))
    return {name: manifest for name, manifest in done.items() if manifest is not None}


def shard_tasks(folder: Path, plan: Plan, cut: Cut) -> list[ShardTask]:
    """The shards of one split, in order."""
    if not plan.sources:
        raise InputError(f"{plan.split} has no tracks ({plan.arrangement})")
    settings, size = cut.settings(plan), cut.tracks_per_shard
    total = -(-len(plan.sources) // size)
    return [
        ShardTask(folder, Place(n, total), settings, plan.sources[n * size : (n + 1) * size])
        for n in range(total)
    ]


def join(folder: Path, plan: Plan, cut: Cut, reports: Sequence[ShardReport]) -> Manifest:
    """The split of finished shards, given in their order."""
    return finish_split(
        folder,
        cut.settings(plan),
        reports,
        arrangement=plan.arrangement,
        missing=plan.missing,
    )


def finished(folder: Path, plan: Plan, cut: Cut) -> Manifest | None:
    """The manifest of a finished split, None if there is none.

    Raises:
        ConfigError: it was made of other tracks or with other settings.
        InputError: its manifest is damaged.
        UnavailableError: a file of it is gone.
    """
    if not os.path.lexists(folder / MANIFEST):
        return None
    manifest = read_manifest(folder)
    for shard in (*manifest.shards, manifest.levels):
        if not (folder / shard.file).is_file():
            raise UnavailableError(f"{folder / shard.file} is missing: delete {folder}, run again")
    old, new = vars(manifest.settings), vars(cut.settings(plan))
    changed = [f"{key} {old[key]}, now {new[key]}" for key in new if old[key] != new[key]]
    advice = "choose another folder or delete this one"
    if changed:
        raise ConfigError(f"{folder} was made with {', '.join(changed)}: {advice}")
    held = {track.name for track in manifest.tracks} | set(manifest.damaged)
    wanted = {source.name for source in plan.sources}
    if held != wanted:
        changes = f"{len(wanted - held)} more, {len(held - wanted)} less"
        raise ConfigError(f"{folder} was made of other tracks ({changes}): {advice}")
    return manifest


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Holds the folder against a second run on this machine; a killed run lets go of it.

    Raises:
        OutputError: another process holds it, or it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(out, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise OutputError(f"{out}: another process prepares data here, wait for it") from error
    finally:
        os.close(handle)


def _written(
    tasks: Sequence[ShardTask], split: str, jobs: int, on_progress: Callable[[Advance], None]
) -> list[ShardReport]:
    """The reports of all shards, in order; the finished ones of an earlier run are kept."""
    total = sum(len(task.sources) for task in tasks)
    reports: dict[int, ShardReport] = {}
    done = 0

    def take(number: int, report: ShardReport) -> None:
        nonlocal done
        reports[number] = report
        done += len(tasks[number].sources)
        on_progress(Advance(split, done, total, report.damaged))

    for number, task in enumerate(tasks):
        report = task.finished()
        if report is not None and not report.damaged:  # a damaged track may have been mended
            take(number, report)
    waiting = [number for number in range(len(tasks)) if number not in reports]
    if jobs == 1:
        for number in waiting:
            take(number, tasks[number].write())
    elif waiting:
        for number, report in _in_processes(tasks, waiting, jobs):
            take(number, report)
    return [reports[number] for number in range(len(tasks))]


def _in_processes(
    tasks: Sequence[ShardTask], numbers: Sequence[int], jobs: int
) -> Iterator[tuple[int, ShardReport]]:
    """Writes shards in a pool of processes, and yields them as they are finished."""
    # A fresh interpreter per worker: forking a process that runs JAX threads can deadlock.
    context = multiprocessing.get_context("spawn")
    workers = min(jobs, len(numbers))
    with ProcessPoolExecutor(workers, context, _live_with_parent, (os.getpid(),)) as pool:
        futures = {pool.submit(tasks[number].write): number for number in numbers}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            message = "a worker process died (out of memory?): run again, with fewer --jobs"
            raise OutputError(message) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _live_with_parent(parent: int) -> None:
    """Leaves Ctrl-C to the parent, and ends this process when the parent has died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_ORPHAN_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
