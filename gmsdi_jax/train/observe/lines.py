"""Where a run writes what it measures: files of one JSON object per line, always."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from gmsdi_jax.train.observe.samples import Sample


class Writer(Protocol):
    """A destination of metrics and sound."""

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Records `values` under `step`."""
        ...

    def show(self, step: int, samples: Sequence[Sample]) -> None:
        """Records the sound of a validation, where this destination takes any."""
        ...

    def close(self) -> None:
        """Finishes; nothing is lost after it returns."""
        ...


class JsonLines:
    """One JSON object per line, appended and flushed at once."""

    def __init__(self, path: Path, resume_at: int | None):
        """A new file, or, resuming, the old one without its lines after step `resume_at`."""
        self.path = path
        kept = []
        if resume_at is not None:
            kept = [line for line in read_lines(path) if line["step"] <= resume_at]
        path.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self._file = path.open("a")

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Appends one line."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def show(self, step: int, samples: Sequence[Sample]) -> None:
        """Nothing: sound is no line."""

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of such a file; a last line cut short by a kill is left out."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def best_score(path: Path, name: str) -> float:
    """The highest value of `name` in a metrics file so far."""
    return max((line[name] for line in read_lines(path) if name in line), default=-math.inf)
