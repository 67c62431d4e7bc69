"""Results as they come: a file per song, method and seed, so that a killed evaluation goes on.

    RUN/results/settings.json            what the results belong to
    RUN/results/00003/direct-0.json      song 3, method direct, seed 0

A file is put in place when it is complete. Results of other settings never mix: whoever opens a
folder says what they belong to, and a folder that says something else is refused. Several processes
write to one folder that all of them see; no two compute the same song.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from gmsdi_jax.errors import ConfigError, OutputError
from gmsdi_jax.metrics.protocols import WindowScore
from gmsdi_jax.metrics.scores import TrackScore

FORMAT = 1


@dataclass(frozen=True)
class Result:
    """What one method with one seed made of one song."""

    track: str
    method: str
    seed: int
    seconds: float
    """Of the song."""
    spent: float | None
    """Seconds of computing; None for what was not computed here."""
    rows: dict[str, list[WindowScore]]
    """By protocol."""
    tracks: list[TrackScore]


class Store(Protocol):
    """Where results are kept."""

    def read(self, song: int, method: str, seed: int) -> Result | None:
        """A result, or None where it is still to be computed."""
        ...

    def write(self, song: int, result: Result) -> None:
        """Keeps a result."""
        ...


class MemoryStore:
    """Results that end with the process."""

    def __init__(self):
        self._results: dict[tuple[int, str, int], Result] = {}

    def read(self, song: int, method: str, seed: int) -> Result | None:
        """See `Store`."""
        return self._results.get((song, method, seed))

    def write(self, song: int, result: Result) -> None:
        """See `Store`."""
        self._results[song, result.method, result.seed] = result


class FolderStore:
    """Results in a run's folder."""

    def __init__(self, run: Path, settings: dict[str, Any]):
        """Opens the results of a run, new ones or those that are there.

        Args:
            run: its folder.
            settings: plain values that the results depend on.

        Raises:
            ConfigError: the folder holds results of other settings; the first that differs is
                named.
            OutputError: it cannot be written.
        """
        self._folder = run / "results"
        path = self._folder / "settings.json"
        settings = json.loads(json.dumps({"format": FORMAT, **settings}))
        there = _load(path)
        if there is None and path.exists():
            raise ConfigError(
                f"{path} is damaged, so what lies beside it is of no use: delete {run}"
            )
        if there is not None and there != settings:
            keys = [key for key in {**settings, **there} if settings.get(key) != there.get(key)]
            was, now = (_short(values.get(keys[0])) for values in (there, settings))
            raise ConfigError(
                f"{run}: holds results of another evaluation ({keys[0]} was {was}, is {now}): "
                "name another folder with -o"
            )
        _save(path, settings)

    def read(self, song: int, method: str, seed: int) -> Result | None:
        """See `Store`; a damaged file counts as none."""
        values = _load(self._path(song, method, seed))
        try:
            return None if values is None else _result(values)
        except (KeyError, TypeError, AttributeError):
            return None

    def write(self, song: int, result: Result) -> None:
        """See `Store`.

        Raises:
            OutputError: the folder cannot be written.
        """
        _save(self._path(song, result.method, result.seed), asdict(result))

    def _path(self, song: int, method: str, seed: int) -> Path:
        return self._folder / f"{song:05d}" / f"{method.replace('/', '-')}-{seed}.json"


def _result(values: dict[str, Any]) -> Result:
    rows = {
        name: [WindowScore(*row) for row in rows_] for name, rows_ in values.pop("rows").items()
    }
    tracks = [TrackScore(*row) for row in values.pop("tracks")]
    return Result(rows=rows, tracks=tracks, **values)


def _load(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _save(path: Path, values: dict[str, Any]) -> None:
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")  # of this process alone
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(values))
        part.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot write the results ({error.strerror})") from error


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
