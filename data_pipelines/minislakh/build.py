"""The whole MiniSlakh: splits, seeds, parallel work, resuming, and the manifest.

    OUT/manifest.json
    OUT/{train,validation,test}/TrackNNNNN/

A track's seed is (seed, split, number), so no two splits can share a song. A build that was
stopped goes on where it was: whole tracks are kept, unfinished ones are made again. The manifest
is written first with `complete: false`; a build with other settings into the same folder is
refused rather than mixed in.

With `unseen`, that share of the test split is played on programs that no other track has; with
`only`, one split of such a set is made alone, for instance the same test songs in another font.

Tracks are made in threads: the synthesis runs in fluidsynth's own processes, and the filters and
the FLAC encoder release Python's lock, so threads fill the cores without the traps of worker
processes (orphans, pickling, scripts without a main guard).
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data_pipelines.minislakh.compose import (
    COMPOSER_VERSION,
    PROGRAMS,
    UNSEEN,
    Programs,
    compose,
    label_histogram,
    without_unseen,
)
from data_pipelines.minislakh.render import SAMPLE_RATE, Renderer, find_fluidsynth
from data_pipelines.minislakh.track import write_track
from gmsdi_jax.errors import ConfigError, OutputError

SPLITS = ("train", "validation", "test")
WINDOW = 1.5  # seconds, the windows of the label histograms
MINIMUM_SECONDS = 4.0
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Job:
    """One track to make: where, from which seed, how long in seconds."""

    out: Path
    split: str
    number: int
    seed: int
    seconds: float
    programs: Programs = field(default_factory=lambda: PROGRAMS)
    """Which may play the classes."""

    @property
    def name(self) -> str:
        """The track's folder name."""
        return f"Track{self.number:05d}"


def split_counts(tracks: int, shares: tuple[float, float, float]) -> dict[str, int]:
    """Tracks per split in proportion to `shares`; every split with a share gets at least one.

    Raises:
        ConfigError: too few tracks, or shares that are negative or all zero.
    """
    wanted = sum(share > 0 for share in shares)
    if min(shares) < 0 or shares[0] <= 0:
        raise ConfigError(f"split {shares}: the shares must not be negative, the first not zero")
    if tracks < wanted:
        raise ConfigError(f"tracks {tracks}: give at least {wanted}, one for each split")
    held_out = [max(round(tracks * s / sum(shares)), 1) if s > 0 else 0 for s in shares[1:]]
    return dict(zip(SPLITS, [tracks - sum(held_out), *held_out], strict=True))


def plan(
    out: Path, counts: dict[str, int], seed: int, seconds: float, unseen: float = 0.0
) -> list[Job]:
    """All jobs; track numbers run on from one split to the next, as in Slakh.

    The last `unseen` (a share) of the test split has the programs that nothing else has.
    """
    splits = [split for split in SPLITS for _ in range(counts[split])]
    seen = without_unseen() if unseen else PROGRAMS
    first = len(splits) - round(unseen * counts["test"])
    return [
        Job(out, split, i, seed, seconds, seen if i <= first else {**PROGRAMS, **UNSEEN})
        for i, split in enumerate(splits, start=1)
    ]


def make_track(job: Job, renderer: Renderer) -> dict[str, Any]:
    """Makes the track unless it exists whole; returns its entry in the manifest."""
    seed = (job.seed, SPLITS.index(job.split), job.number)
    composition = compose(seed, job.seconds, job.programs)
    place = job.out / job.split / job.name
    if not place.exists():
        write_track(place, composition, renderer)
    return {
        "name": job.name,
        "split": job.split,
        "bpm": composition.song.bpm,
        "programs": {
            name: sorted({p.program for p in composition.parts if p.inst_class == name})
            for name in sorted({p.inst_class for p in composition.parts if p.rendered})
        },
        "stems": [part.inst_class for part in composition.parts if part.rendered],
        "label_histogram": label_histogram(composition, WINDOW),
    }


def _run(jobs: list[Job], renderer: Renderer, workers: int) -> Iterator[dict[str, Any]]:
    """The entries of all jobs as they finish; after an error or Ctrl-C no new job starts."""
    pool = ThreadPoolExecutor(workers)
    try:
        for future in as_completed([pool.submit(make_track, job, renderer) for job in jobs]):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def mean_histogram(entries: list[dict[str, Any]]) -> dict[str, float]:
    """The mean over tracks of their label histograms."""
    total: Counter[str] = Counter()
    for entry in entries:
        for labels, fraction in entry["label_histogram"].items():
            total[labels] += fraction / len(entries)
    return dict(sorted(total.items()))


def _settings(
    seed: int,
    seconds: float,
    counts: dict[str, int],
    renderer: Renderer,
    unseen: float,
    only: Sequence[str],
) -> dict:
    extra: dict[str, Any] = {}
    if unseen:
        extra["unseen"] = {"share": unseen, "programs": {k: list(v) for k, v in UNSEEN.items()}}
    if only:
        extra["only"] = sorted(only)
    return {
        "seed": seed,
        "seconds": seconds,
        "tracks": counts,
        "sample_rate": SAMPLE_RATE,
        "composer_version": COMPOSER_VERSION,
        "programs": {name: list(programs) for name, programs in PROGRAMS.items()},
        **renderer.describe(),
        **extra,
    }


def _check_resumable(out: Path, settings: dict[str, Any]) -> None:
    """Refuses a folder that holds something else, or MiniSlakh with other settings."""
    file = out / "manifest.json"
    if not file.exists():
        if out.exists() and any(out.iterdir()):
            raise ConfigError(f"{out} is not empty and holds no MiniSlakh; give another folder")
        return
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} is not a manifest of MiniSlakh; give another folder") from error
    other = sorted(key for key in {*settings, *found} if found.get(key) != settings.get(key))
    if other:
        raise ConfigError(
            f"{out} was made with another {', '.join(other)}; give another folder or delete it"
        )


def _write_manifest(out: Path, manifest: dict[str, Any]) -> None:
    partial = out / "manifest.json.partial"
    partial.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    partial.replace(out / "manifest.json")


def build(
    out: Path,
    tracks: int,
    seed: int,
    seconds: float = 60.0,
    soundfont: Path | None = None,
    jobs: int | None = None,
    on_progress: Progress | None = None,
    split: tuple[float, float, float] = (80.0, 10.0, 10.0),
    renderer: Renderer | None = None,
    unseen: float = 0.0,
    only: Sequence[str] = (),
) -> dict[str, Any]:
    """Makes a MiniSlakh of `tracks` tracks in `out`, or finishes one; returns its manifest.

    Args:
        out: The folder of the data set.
        tracks: How many tracks in all.
        seed: One seed gives the same MIDI bytes on every machine.
        seconds: The length of each track.
        soundfont: A General MIDI font; by default one is found in the usual places.
        jobs: Tracks made at a time; by default one per core.
        on_progress: Called with (tracks done, tracks in all) after each track.
        split: The shares of train, validation and test; they need not add up to anything.
        renderer: Instead of fluidsynth.
        unseen: Share of the test split that is played on programs that no other track has.
        only: The splits that are made, each as it is in the whole; empty for all.

    Raises:
        ConfigError: A setting is out of range, or `out` holds something else.
        UnavailableError: There is no fluidsynth or no font.
        OutputError: A file could not be written.
    """
    if not MINIMUM_SECONDS <= seconds <= 3600:
        raise ConfigError(f"seconds {seconds}: give a length from {MINIMUM_SECONDS} to 3600")
    if seed < 0:
        raise ConfigError(f"seed {seed}: give a number of 0 or more")
    if not 0 <= unseen <= 1:
        raise ConfigError(f"unseen {unseen}: give a share of the test split, from 0 to 1")
    out = Path(out)
    counts = split_counts(tracks, split)
    planned = [
        job for job in plan(out, counts, seed, seconds, unseen) if not only or job.split in only
    ]
    if not planned:
        raise ConfigError(f"only {', '.join(only)}: no track of {tracks} is in there; see split")
    renderer = renderer or find_fluidsynth(soundfont)
    settings = _settings(seed, float(seconds), counts, renderer, unseen, only)
    _check_resumable(out, settings)
    try:
        return _build(out, planned, settings, renderer, jobs, on_progress)
    except OSError as error:
        raise OutputError(f"could not write MiniSlakh to {out}: {error}") from error


def _build(
    out: Path,
    planned: list[Job],
    settings: dict[str, Any],
    renderer: Renderer,
    jobs: int | None,
    on_progress: Progress | None,
) -> dict[str, Any]:
    for name in SPLITS:
        (out / name).mkdir(parents=True, exist_ok=True)
    manifest: dict[str, Any] = {
        "dataset": "MiniSlakh",
        "complete": False,
        "settings": settings,
        "versions": {p: version(p) for p in ("mido", "numpy", "pyloudnorm", "soundfile")},
    }
    _write_manifest(out, manifest)
    entries = []
    workers = min(jobs or os.cpu_count() or 1, len(planned))
    for entry in _run(planned, renderer, workers):
        entries.append(entry)
        if on_progress:
            on_progress(len(entries), len(planned))
    manifest["complete"] = True
    manifest["hours"] = round(len(planned) * settings["seconds"] / 3600, 3)
    manifest["label_window_seconds"] = WINDOW
    manifest["label_histogram"] = mean_histogram(entries)
    manifest["label_histograms"] = {
        split: mean_histogram([entry for entry in entries if entry["split"] == split])
        for split in SPLITS
        if any(entry["split"] == split for entry in entries)
    }
    manifest["tracks"] = sorted(entries, key=lambda entry: entry["name"])
    _write_manifest(out, manifest)
    return manifest
