"""The loop over cells: each is claimed, computed on all devices of its process, and kept.

Processes that see one store share the cells; each begins at another one. A cell that another
process has claimed is left to it, and looked at again at the end.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import jax

from gmsdi_jax.distributed import is_first
from gmsdi_jax.errors import UnavailableError
from gmsdi_jax.evaluate import BASELINES
from gmsdi_jax.sweep.claim import claimed, is_taken
from gmsdi_jax.sweep.declare import Cell, Sweep
from gmsdi_jax.sweep.generation import GenerationJob, generation_job
from gmsdi_jax.sweep.jobs import Sources
from gmsdi_jax.sweep.separation import SeparationJob, baseline_job, separation_job

Say = Callable[[str], None]
_LOOK_AGAIN = 2.0


@dataclass(frozen=True)
class Plan:
    """The jobs of a sweep."""

    sweep: Sweep
    sources: Sources
    cells: list[tuple[Cell, SeparationJob | GenerationJob | None]]
    """None where a cell's own model is not there."""
    baselines: dict[str, SeparationJob]
    """By name; none of a sweep that draws."""

    @property
    def jobs(self) -> dict[Path, tuple[str, SeparationJob | GenerationJob]]:
        """Each once, with a name for it: two cells may be the same computation."""
        found: dict[Path, tuple[str, SeparationJob | GenerationJob]] = {}
        for name, job in self.baselines.items():
            found.setdefault(job.folder, (name, job))
        for cell, job in self.cells:
            if job is not None:
                found.setdefault(job.folder, (cell.name, job))
        return found

    def separation(self, labels: dict[str, str], split: str = "test") -> SeparationJob | None:
        """`of`, where it is one that separates."""
        job = self.of(labels, split)
        return job if isinstance(job, SeparationJob) else None

    def of(
        self, labels: dict[str, str], split: str = "test"
    ) -> SeparationJob | GenerationJob | None:
        """The job of the cell with these labels; None where there is none."""
        for cell, job in self.cells:
            if cell.split == split and all(cell.labels[axis] == v for axis, v in labels.items()):
                return job
        return None


def plan(sweep: Sweep, sources: Sources, say: Say = lambda text: None) -> Plan:
    """What is to be done; models are opened, nothing is computed.

    Raises:
        UnavailableError: the command's model or a split is not there.
        ConfigError: a setting is wrong, or model and data do not belong together.
    """
    cells: list[tuple[Cell, SeparationJob | GenerationJob | None]] = []
    for cell in sweep.cells:
        own = cell.settings.get("model")
        try:
            cells.append((cell, _job(cell, sweep, sources)))
        except UnavailableError as error:
            if own is None:
                raise
            say(f"cell {cell.name} stays empty: {error}")
            cells.append((cell, None))
    separates = any(cell.task == "separate" for cell, _ in cells)
    found = {
        name: job
        for name in (BASELINES if separates else ())
        if (job := baseline_job(name, sources, "test", sweep.songs, sweep.seconds)) is not None
    }
    return Plan(sweep, sources, cells, found)


def _job(cell: Cell, sweep: Sweep, sources: Sources) -> SeparationJob | GenerationJob:
    if cell.task == "separate":
        return separation_job(cell, sources, sweep.songs, sweep.seconds, sweep.seeds)
    return generation_job(cell, sources, sweep.songs, sweep.seconds)


def run(
    planned: Plan,
    advance: Callable[[float, float, str], None] = lambda done, total, note: None,
    say: Say = lambda text: None,
) -> int:
    """Computes what is missing and not claimed by others; returns how many cells still miss some.

    In a run of several processes the first one waits for the others' cells, to show all.

    Args:
        planned: of `plan`.
        advance: told parts done and in all, and which is next.
        say: told one line at a time.

    Raises:
        OutputError: the store cannot be written.
    """
    jobs = list(planned.jobs.values())
    turn = jax.process_index() * len(jobs) // jax.process_count()
    missing = {job.folder: job.missing for _, job in jobs}
    total, done = sum(missing.values()), count()
    there = sum(not n for n in missing.values())
    say(f"{len(jobs)} cells, {there} are there already; {total} parts to compute")
    left = _round(jobs[turn:] + jobs[:turn], total, done, advance)
    while left and is_first() and jax.process_count() > 1:
        time.sleep(_LOOK_AGAIN)
        left = _round(left, total, done, advance)
    return len(left)


def _round(jobs, total, done, advance) -> list:
    """Computes what can be claimed; returns what others are computing."""
    left = []
    for name, job in jobs:
        if not job.missing:
            continue
        with claimed(job.folder) as ours:
            if ours:
                job.compute(lambda part, name=name: advance(next(done), total, f"{name}: {part}"))
        if job.missing:
            left.append((name, job))
    return left


def state(job: SeparationJob | GenerationJob) -> str:
    """One word or two on a cell, for a list."""
    missing = job.missing
    if not missing:
        return "there"
    return f"{missing} missing" + (", claimed" if is_taken(job.folder) else "")
