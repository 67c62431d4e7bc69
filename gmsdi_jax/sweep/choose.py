"""A model's constrained source and negative prompts, chosen on validation songs.

The Separator leaves one stem to be what the others leave of the mixture (`dirac`), and the paper
tried which; guided, every stem may have a negative prompt, and the paper wrote two by hand. Both
are searched here: every stem as the constrained one, and as a stem's negative every other stem, or
all of them, or none. Each candidate is a cell of the sweeps' store, so a stopped search goes
on, and what a table has computed is not computed again.

Few songs make the best of many candidates look better than it is. Therefore what the library does
without any choice stays, unless the songs agree on something better: the 95 % interval of the
paired difference, over songs, must lie above zero. Test songs are never opened.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gmsdi_jax.data import MANIFEST, read_manifest
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.evaluate.store import Result
from gmsdi_jax.metrics.protocols import WindowScore
from gmsdi_jax.metrics.summary import Interval, paired_interval, summarise
from gmsdi_jax.sweep.declare import Stems, Sweep
from gmsdi_jax.sweep.jobs import Sources
from gmsdi_jax.sweep.run import Plan, run
from gmsdi_jax.sweep.separation import SeparationJob, separation_job

SPLIT = "validation"
PROTOCOL = "active"
NONE = "learned null"


@dataclass(frozen=True)
class Candidate:
    """What was tried, and what it scored."""

    name: str
    value: Any
    """Of the setting: a stem, or a text."""
    score: float
    """Mean SI-SDR improvement on sounding stems, dB; NaN where the method diverged."""
    gain: Interval | None
    """95 % interval, over songs, of what it gains on the default; None of the default itself."""


@dataclass(frozen=True)
class Choice:
    """One setting: the candidates, the default first, and which is taken."""

    setting: str
    candidates: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate:
        """The highest score among those that beat the default for certain, or the default."""
        default, *others = self.candidates
        better = [some for some in others if some.gain is not None and some.gain.low > 0]
        return max([default, *better], key=lambda some: np.nan_to_num(some.score, nan=-np.inf))


def constrained_sweep(labels: Sequence[str], settings: Mapping[str, Any], **amounts) -> Sweep:
    """A row per stem that the Separator may constrain.

    Args:
        labels: of the model.
        settings: of the method.
        amounts: songs, seconds and seeds.
    """
    return Sweep(
        title="Constrained source",
        axes={"constrained": {label: {"constrained": label} for label in labels}},
        base={**settings, "method": "dirac", "split": SPLIT},
        table=Stems(rows="constrained"),
        **amounts,
    )


def negatives_sweep(labels: Sequence[str], settings: Mapping[str, Any], **amounts) -> Sweep:
    """A row per candidate, tried for all stems at once: the Extractor extracts each by itself.

    The rows: no negatives, each stem's next label, the one after that, and so on; all other labels.

    Raises:
        ConfigError: without guidance nothing points away from a prompt.
    """
    if settings.get("guidance", 1) == 1:
        raise ConfigError("negative prompts work through guidance: search with one other than 1")
    count = len(labels)
    rows: dict[str, dict[str, Any]] = {NONE: {"negatives": {}}}
    for shift in range(1, count):
        others = {label: labels[(i + shift) % count] for i, label in enumerate(labels)}
        rows[f"the label {shift} further"] = {"negatives": others}
    if count > 2:
        rest = {label: ", ".join(o for o in labels if o != label) for label in labels}
        rows["all others"] = {"negatives": rest}
    return Sweep(
        title="Negative prompts",
        axes={"negatives": rows},
        base={**settings, "method": "extract", "split": SPLIT},
        table=Stems(rows="negatives"),
        **amounts,
    )


def choose_constrained(sweep: Sweep, sources: Sources, default: str, **run_options) -> Choice:
    """The best stem to constrain, by the mean over all stems.

    Args:
        sweep: of `constrained_sweep`.
        sources: models, data and the store.
        default: the stem that is constrained where nobody chooses.
        run_options: of `gmsdi_jax.sweep.run`.

    Raises:
        UnavailableError, OutputError: as `gmsdi_jax.sweep.run`.
        ConfigError: validation songs are test songs, too; or others are still computing.
    """
    rows = _rows(sweep, sources, **run_options)
    order = sorted(rows, key=lambda name: name != default)
    return Choice("constrained", _judged([(name, name, rows[name]) for name in order]))


def choose_negatives(sweep: Sweep, sources: Sources, **run_options) -> dict[str, Choice]:
    """The best negative prompt of every stem, by that stem's own scores; "" is the learned null.

    Args:
        sweep: of `negatives_sweep`.
        sources: models, data and the store.
        run_options: of `gmsdi_jax.sweep.run`.

    Raises:
        UnavailableError, OutputError: as `gmsdi_jax.sweep.run`.
        ConfigError: as `choose_constrained`.
    """
    rows = _rows(sweep, sources, **run_options)
    found = {}
    for label in sources.model(None).labels:
        tried = []
        for name, options in sweep.axes["negatives"].items():  # type: ignore[union-attr]
            text = options["negatives"].get(label, "")
            own = rows[name]
            own = None if own is None else [row for row in own if row.stem == label]
            tried.append((text or NONE, text, own))
        found[label] = Choice(f"negatives of {label}", _judged(tried))
    return found


def _rows(
    sweep: Sweep,
    sources: Sources,
    advance: Callable[[float, float, str], None] = lambda done, total, note: None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Sequence[WindowScore] | None]:
    """The scores of every row of the sweep; None of one that diverged."""
    refuse_test_songs(sources)
    jobs: list[tuple[Any, SeparationJob]] = [
        (cell, separation_job(cell, sources, sweep.songs, sweep.seconds, sweep.seeds))
        for cell in sweep.cells
    ]
    if run(Plan(sweep, sources, list(jobs), {}), advance, say):
        raise ConfigError("other processes still compute cells of this search: run it again then")
    return {cell.labels[sweep.table.rows]: _scores(job) for cell, job in jobs}  # type: ignore[union-attr]


def refuse_test_songs(sources: Sources) -> None:
    """Looks whether validation holds what test holds; only the manifests are read.

    Raises:
        ConfigError: it does, so that a choice made there would be made on test songs.
    """
    test = sources.data / "test"
    if not (test / MANIFEST).exists():
        return
    ours, theirs = (
        {(track.name, track.length) for track in manifest.tracks}
        for manifest in (sources.split(SPLIT).manifest, read_manifest(test))
    )
    if both := sorted(ours & theirs):
        raise ConfigError(
            f"{sources.data / SPLIT}: {len(both)} of its {len(ours)} tracks are in test as well, "
            f"{both[0][0]} the first: a choice made on them would be made on test songs"
        )


def _scores(job: SeparationJob) -> list[WindowScore] | None:
    if job.diverged:
        return None
    results: list[Result] = job.results()
    return [row for result in results for row in result.rows[PROTOCOL]]


def _judged(
    tried: Sequence[tuple[str, Any, Sequence[WindowScore] | None]],
) -> tuple[Candidate, ...]:
    """The candidates; the first is the default, which the others are compared with."""
    default = tried[0][2]
    found = []
    for number, (name, value, rows) in enumerate(tried):
        score = summarise(rows).overall if rows else float("nan")
        gain = paired_interval(rows, default) if number and rows and default else None
        found.append(Candidate(name, value, score, gain))
    return tuple(found)
