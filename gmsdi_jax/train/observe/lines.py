"""Where a run writes what it measures: files of one JSON object per line, always."""

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from gmsdi_jax.errors import OutputError
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
    """One JSON object per line, appended and flushed at once.

    Raises:
        OutputError: it cannot be written; what it held is still there.
    """

    def __init__(self, path: Path, resume_at: int | None):
        """A new file, or, resuming, the old one without its lines after step `resume_at`."""
        self.path = path
        kept = []
        if resume_at is not None:
            kept = [line for line in read_lines(path) if line["step"] <= resume_at]
        with self._writing():  # the old file stays until the new one is whole
            new = path.with_suffix(".tmp")
            new.write_text("".join(json.dumps(line) + "\n" for line in kept))
            new.replace(path)
            self._file = path.open("a")

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Appends one line."""
        with self._writing():
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()

    def show(self, step: int, samples: Sequence[Sample]) -> None:
        """Nothing: sound is no line."""

    def close(self) -> None:
        """Closes the file; a line that could not be written was complained of already."""
        with contextlib.suppress(OSError):
            self._file.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be written ({error.strerror}): make room, then resume"
            ) from error


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
