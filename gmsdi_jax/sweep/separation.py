"""Cells that separate songs: `gmsdi_jax.evaluate` on one method, song by song.

How many songs and seeds are asked for is not part of a cell's digest: more of them add to what is
there. Settings that a method ignores are not part of it either, so that the same separation is one
cell on whatever axes it stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from gmsdi_jax.arrays import digest
from gmsdi_jax.baselines import static
from gmsdi_jax.errors import NumericsError
from gmsdi_jax.evaluate import STATIC
from gmsdi_jax.evaluate.models import runs_of, seeded
from gmsdi_jax.evaluate.scorer import Run, Scorer, baselines
from gmsdi_jax.evaluate.songs import SplitSongs
from gmsdi_jax.evaluate.store import FolderStore, Result
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.pipeline import GMSDI
from gmsdi_jax.pipeline.texts import chosen
from gmsdi_jax.sweep.declare import SEPARATION, Cell
from gmsdi_jax.sweep.jobs import OnPart, Sources, version

_OPTIONS = ("constrained", "negative", "negatives")


@dataclass(frozen=True)
class SeparationJob:
    """One method, or the rows that no method makes, on songs of a split."""

    folder: Path
    about: Mapping[str, Any]
    """All that the numbers depend on."""
    runs: Sequence[Run]
    songs: SplitSongs
    labels: tuple[str, ...]
    sample_rate: int
    evaluations: int | None = None
    """Of the network, per window."""

    @cached_property
    def _scorer(self) -> Scorer:
        store = FolderStore(self.folder, dict(self.about))
        return Scorer(self.runs, store, self.labels, self.sample_rate, chunked=True)

    @property
    def diverged(self) -> bool:
        """Whether the method answered NaN; then it has no number."""
        return (self.folder / "diverged").exists()

    @property
    def missing(self) -> int:
        """Results that are still to be computed."""
        if self.diverged:
            return 0
        if not self.folder.is_dir():
            return len(self.runs) * len(self.songs.names)
        names = enumerate(self.songs.names)
        return sum(len(self._scorer.missing(number, name)) for number, name in names)

    def compute(self, on_part: OnPart) -> None:
        """Computes them, each kept as it comes."""
        scorer = self._scorer
        for number, name in enumerate(self.songs.names):
            for run in scorer.missing(number, name):
                on_part(f"{name}, seed {run.seed}")
                try:
                    scorer.score(number, self.songs.load(number), [run])
                except NumericsError as error:
                    (self.folder / "diverged").write_text(f"{error}\n")
                    return

    def results(self) -> list[Result]:
        """What is there of all songs; empty where anything is missing."""
        if self.missing or self.diverged:
            return []
        return self._scorer.gather(range(len(self.songs.names)))


def separation_job(
    cell: Cell, sources: Sources, songs: int | None, seconds: float | None, seeds: int
) -> SeparationJob:
    """The job of a cell.

    Raises:
        UnavailableError: its model or split is not there.
        ConfigError: a setting is wrong, or model and split do not belong together.
    """
    model = sources.model(cell.settings.get("model"))
    config = config_of(cell, model)
    split = sources.fitting(model, cell.split)
    overlap = cell.settings.get("overlap", 0.25)
    given = {name: cell.settings[name] for name in _OPTIONS if name in cell.settings}
    wished = chosen(model.model.config, model.labels, config, **given)
    options = {name: value for name, value in wished.items() if value}
    if config.method != "dirac" or config.constrain == "each":
        options.pop("constrained", None)
    if config.guidance == 1:  # nothing points away from anything
        options = {k: v for k, v in options.items() if k == "constrained"}
    about = {
        **version(),
        "task": "separate",
        "settings": {**asdict(config), **options, "overlap": overlap},
        "model": model.digest,
        "data": split.fingerprint,
        "seconds": seconds,
    }
    first = model.separator(None, config, rows=None, seed=0, **{"negatives": {}, **options})
    separators = seeded(config.method, first, seeds)
    core = model.model.config
    return SeparationJob(
        sources.place(about),
        about,
        runs_of(separators, overlap),
        SplitSongs(split, songs, seconds),
        core.labels,
        core.sample_rate,
        first.evaluations,
    )


def config_of(cell: Cell, model: GMSDI) -> SeparationConfig:
    """The cell's method: the model's own settings but for what the cell sets."""
    names = SEPARATION - {*_OPTIONS, "overlap"}
    changes = {name: value for name, value in cell.settings.items() if name in names}
    return replace(model.model.config.separation, **changes)


def baseline_job(
    name: str, sources: Sources, split: str, songs: int | None, seconds: float | None
) -> SeparationJob | None:
    """The job of a row that no network makes; None of `static` where the model has no spectra."""
    model, spectra = sources.model(None), None
    data = sources.fitting(model, split)
    about = {**version(), "task": name, "data": data.fingerprint, "seconds": seconds}
    if name == "static":
        path = sources.own_folder / STATIC
        if not path.exists():
            return None
        spectra, about["static"] = static.load(path), digest(path)
    runs = [run for run in baselines(spectra) if run.method == name]
    core = model.model.config
    found = SplitSongs(data, songs, seconds)
    return SeparationJob(sources.place(about), about, runs, found, core.labels, core.sample_rate)
