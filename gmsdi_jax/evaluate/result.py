"""Scores of several methods on the same songs: as a card to read, and as files to go on with."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gmsdi_jax.errors import OutputError
from gmsdi_jax.evaluate.store import Result
from gmsdi_jax.metrics.scores import TRACK_COLUMNS, tidy, write_csv, write_scores
from gmsdi_jax.metrics.summary import Method, paired_interval, summarise, table

BASELINES = ("static", "mixture", "silence", "oracle")
"""The rows that no separator made, in their order."""
_VERSION = 1


@dataclass(frozen=True)
class Evaluation:
    """The scores of several methods on the same songs."""

    results: Sequence[Result]
    """Of every song, method and seed."""
    evaluations: Mapping[str, int | None]
    """Network evaluations per window of every method, in the order of the card."""
    protocol: str = "active"
    """Whose scores head the card."""
    description: dict[str, Any] = field(default_factory=dict)
    """What was evaluated: model, data, labels, settings of the methods."""

    @property
    def methods(self) -> list[Method]:
        """One row of the card per method, all seeds together."""
        return [self._method(name) for name in self.evaluations]

    def _method(self, name: str) -> Method:
        mine = [result for result in self.results if result.method == name]
        rows = {
            protocol: [row for result in mine for row in result.rows[protocol]]
            for protocol in mine[0].rows
        }
        timed = [(result.spent, result.seconds) for result in mine if result.spent is not None]
        spent, seconds = np.sum(timed, axis=0) if timed else (0.0, 0.0)
        return Method(
            name,
            rows.pop(self.protocol),
            self.evaluations[name],
            float(spent / seconds) if seconds else None,
            rows,
            [row for result in mine for row in result.tracks],
        )

    def __str__(self) -> str:
        """The scorecard, and what the first method gains over each baseline, paired by song."""
        methods = self.methods
        first, total = methods[0], summarise(methods[0].rows)
        lines = [table(methods), ""]
        for other in methods[1:]:
            if other.name in BASELINES[:3]:
                gain = total.overall - summarise(other.rows).overall
                interval = "" if total.songs < 2 else _interval(first, other)
                lines.append(f"{first.name} over {other.name}: {gain:+.2f} dB{interval}")
        lines += [line for method in methods if (line := self._over_seeds(method.name))]
        lines += [_paid_silence(method) for method in methods if method.name == "silence"]
        songs = "1 song" if total.songs == 1 else f"{total.songs} songs"
        return "\n".join([*lines, f"{songs}, {total.windows} windows of 4 s"])

    def _over_seeds(self, name: str) -> str:
        """How far the seeds of one method are apart."""
        seeds: dict[int, list] = {}
        for result in self.results:
            if result.method == name:
                seeds.setdefault(result.seed, []).extend(result.rows[self.protocol])
        if len(seeds) < 2:
            return ""
        means = [summarise(rows).overall for rows in seeds.values()]
        spread = float(np.std(means, ddof=1))
        return f"{name}: standard deviation over {len(seeds)} seeds {spread:.3f} dB"

    def save(self, folder: Path) -> None:
        """Writes ``scorecard.md``, the tables of scores and ``evaluation.json``.

        Raises:
            OutputError: the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_scores(
                folder,
                [
                    score
                    for result in self.results
                    for protocol, rows in result.rows.items()
                    for score in tidy(protocol, result.method, result.seed, rows)
                ],
            )
            tracks = (
                (result.method, result.seed, result.track, *row)
                for result in self.results
                for row in result.tracks
            )
            write_csv(folder / "tracks.csv", TRACK_COLUMNS, tracks)
            (folder / "scorecard.md").write_text(f"{self}\n")
            (folder / "evaluation.json").write_text(json.dumps(self._json(), indent=1) + "\n")
        except OSError as error:
            raise OutputError(f"{folder}: cannot write the scores ({error.strerror})") from error

    def _json(self) -> dict[str, Any]:
        settings = self.description.get("settings", {})
        return {
            "version": _VERSION,
            "kind": "separation",
            "labels": self.description.get("labels", []),
            "sample_rate": self.description.get("sample_rate"),
            "protocols": list(self.results[0].rows),
            "methods": {
                method.name: {
                    "settings": settings.get(method.name, {}),
                    "evaluations": method.evaluations,
                    "real_time_factor": method.real_time_factor,
                    "baseline": method.name in BASELINES,
                }
                for method in self.methods
            },
            "model": self.description.get("model"),
            "data": self.description.get("data", {}),
            "seeds": sorted({result.seed for result in self.results}),
        }


def _interval(a: Method, b: Method) -> str:
    low, high = paired_interval(a.rows, b.rows)
    return f", 95 % interval over songs {low:+.2f} to {high:+.2f}"


def _paid_silence(silence: Method) -> str:
    """What zeros score by the published protocol, and on how many silent stems."""
    rows = silence.beside.get("msdm", silence.rows)
    absent = sum(not row.active for row in rows)
    share = f", {100 * absent / len(rows):.1f} % of its scores are of silent stems" if rows else ""
    paid = summarise(rows).overall if rows else float("nan")
    return f"msdm pays {paid:.2f} dB for silence{share}"
