"""Where a run writes what it measures: ``metrics.jsonl`` always, Weights & Biases if asked."""

import json
import math
from pathlib import Path
from typing import Any, Protocol


class Writer(Protocol):
    """A destination of metrics."""

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Records `values` under `step`."""
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

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class WeightsAndBiases:
    """A run on Weights & Biases, resumed under the same name."""

    def __init__(self, project: str, name: str, config: dict[str, Any]):
        """Logs in with the user's own settings; `name` is also the run's id."""
        import wandb  # slow to import, and most runs do without

        self._run = wandb.init(project=project, name=name, id=name, resume="allow", config=config)
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Logs one row; ``step`` is a value of the row, so resumed rows are not dropped."""
        self._run.log({"step": step, **values})

    def close(self) -> None:
        """Finishes the run."""
        self._run.finish()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; a last line cut short by a kill is left out."""
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
