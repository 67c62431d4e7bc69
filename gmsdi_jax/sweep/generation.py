"""Cells that draw pieces: stems from text, or to stems of real songs, and real pieces beside them.

Pieces are kept as sound, below their cell; what hears them (`gmsdi_jax.generation`) is not part of
the cell, so that another encoder hears the same pieces. Piece n is drawn with seed n, to stems of
the n-th real piece. Real pieces are windows of the split's songs, drawn once.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gmsdi_jax.audio import read
from gmsdi_jax.errors import ConfigError, NumericsError
from gmsdi_jax.evaluate.songs import SplitSongs
from gmsdi_jax.generation import Comparison, Cut, Listener, Request, Store, compare
from gmsdi_jax.pipeline import GMSDI, GenerationConfig
from gmsdi_jax.pipeline.result import Stems, file_name
from gmsdi_jax.sweep.claim import claimed
from gmsdi_jax.sweep.declare import Cell
from gmsdi_jax.sweep.jobs import OnPart, Sources, version

PIECES = 200
"""As many as the paper draws."""
_DONE = "gmsdi.json"


@dataclass(frozen=True)
class RealPieces:
    """Windows of real songs as folders of stems, which pieces are compared with and drawn to."""

    folder: Path
    songs: SplitSongs
    labels: tuple[str, ...]
    sample_rate: int
    count: int
    length: int
    """Samples of each."""

    @property
    def missing(self) -> int:
        """Pieces that are not there."""
        return sum(not (self.at(n) / _DONE).exists() for n in range(self.count))

    def at(self, number: int) -> Path:
        """The folder of a piece."""
        return self.folder / "pieces" / f"{number:05d}"

    def compute(self) -> None:
        """Writes what is missing, song by song."""
        rng, songs = np.random.default_rng(0), len(self.songs.names)
        order = [int(i) for _ in range(-(-self.count // songs)) for i in rng.permutation(songs)]
        for number, song in enumerate(order[: self.count]):
            start = rng.random()  # also where the piece is there, so that the next is the same
            if (self.at(number) / _DONE).exists():
                continue
            whole = self.songs.load(song)
            first = int(start * max(1, len(whole.mixture) - self.length))
            part = whole.stems[:, first : first + self.length, None]
            named = dict(zip(self.labels, part, strict=True))
            info = {"task": "real", "track": whole.name, "first_sample": first}
            Stems(named, self.sample_rate, None, info).save(_made(self.at(number)))

    def stem(self, number: int, label: str) -> np.ndarray:
        """A stem of a piece, ``[t 1]``."""
        return read(self.at(number) / f"{file_name(label)}.wav")[0]


@dataclass(frozen=True)
class GenerationJob:
    """Pieces drawn with one configuration."""

    folder: Path
    model: GMSDI
    config: GenerationConfig
    stems: tuple[str, ...]
    given: tuple[str, ...]
    prompting: Mapping[str, Any]
    """Negative prompts, as `GMSDI.generate` takes them."""
    real: RealPieces

    @property
    def missing(self) -> int:
        """Pieces that are not there; real ones, which all cells share, where all others are."""
        mine = sum(not (self._at(n) / _DONE).exists() for n in range(self.real.count))
        return mine or self.real.missing

    @property
    def diverged(self) -> int:
        """Pieces of which the model made NaN; they are kept as silence."""
        infos = [self._at(number) / _DONE for number in range(self.real.count)]
        return sum(json.loads(info.read_text())["task"] == "diverged" for info in infos)

    def _at(self, number: int) -> Path:
        return self.folder / "pieces" / f"{number:05d}"

    @property
    def thing(self) -> str:
        """What is compared: a lone stem, else the mixture."""
        return self.stems[0] if len(self.stems) == 1 and not self.given else "mix"

    def compute(self, on_part: OnPart) -> None:
        """Draws what is missing."""
        while self.real.missing:
            with claimed(self.real.folder) as ours:
                if ours:
                    self.real.compute()
                else:
                    time.sleep(1)
        seconds = self.real.length / self.real.sample_rate
        for number in range(self.real.count):
            if (self._at(number) / _DONE).exists():
                continue
            on_part(f"piece {number}")
            try:
                piece = self._draw(number, seconds)
            except NumericsError as error:
                silent = np.zeros((self.real.length, 1), np.float32)
                info = {"task": "diverged", "error": str(error)}
                piece = Stems(dict.fromkeys(self.stems, silent), self.real.sample_rate, None, info)
            piece.save(_made(self._at(number)))

    def _draw(self, number: int, seconds: float) -> Stems:
        if not self.given:
            return self.model.generate(
                self.stems, seconds, self.config, seed=number, **self.prompting
            )
        known: dict[str, str | Path | np.ndarray] = {
            label: self.real.stem(number, label) for label in self.given
        }
        return self.model.accompany(known, self.stems, self.config, seed=number, **self.prompting)

    def compared(self, listeners: list[Listener], embeddings: Path) -> Comparison:
        """How near the pieces are to real ones."""
        seconds = self.real.length / self.real.sample_rate
        request = Request(
            generated=self.folder / "pieces",
            reference=self.real.folder / "pieces",
            things=(self.thing,),
            cut=Cut(seconds),
        )
        return compare(request, listeners, Store(embeddings))


def generation_job(
    cell: Cell, sources: Sources, pieces: int | None, seconds: float | None
) -> GenerationJob:
    """The job of a cell.

    Raises:
        UnavailableError: its model or split is not there.
        ConfigError: a setting is wrong, or no stem is named.
    """
    model = sources.model(cell.settings.get("model"))
    core, split = model.model.config, sources.fitting(model, cell.split)
    wanted = {k: v for k, v in cell.settings.items() if k in GenerationConfig.__dataclass_fields__}
    config = replace(GenerationConfig(), **wanted)
    stems = tuple(cell.settings.get("stems", core.labels))
    given = tuple(cell.settings.get("given", ())) if cell.task == "accompany" else ()
    if not stems or (cell.task == "accompany" and not given):
        raise ConfigError(f"cell {cell.name}: name stems to draw, and given ones to accompany")
    told = {k: cell.settings[k] for k in ("negative", "negatives") if cell.settings.get(k)}
    prompting = {} if config.guidance == 1 else told  # nothing points away from anything
    count = PIECES if pieces is None else pieces
    length = core.window if seconds is None else round(seconds * core.sample_rate)
    data: Mapping[str, Any] = {
        **version(),
        "data": split.fingerprint,
        "pieces": count,
        "length": length,
    }
    real = RealPieces(
        sources.place({**data, "task": "real"}),
        SplitSongs(split),
        core.labels,
        core.sample_rate,
        count,
        length,
    )
    about = {
        **data,
        "task": cell.task,
        "settings": {**asdict(config), **prompting},
        "stems": stems,
        "given": given,
        "model": model.digest,
    }
    return GenerationJob(sources.place(about), model, config, stems, given, prompting, real)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
