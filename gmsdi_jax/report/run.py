"""An evaluation on disk: ``evaluation.json`` says what was done, ``scores.parquet`` what came out.

Both are written by ``gmsdi evaluate -o RUN``. Whatever else made them is welcome, so they are read
with care: what is missing is named with the file it is missing from.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmsdi_jax.errors import InputError
from gmsdi_jax.metrics.protocols import WindowScore
from gmsdi_jax.metrics.scores import read_scores, window_score

EVALUATION, AUDIO = "evaluation.json", "audio"
VERSION = 1
KEEP_AUDIO = "gmsdi evaluate ... --audio 4"
"""The command that keeps the sounds of four songs."""


@dataclass(frozen=True)
class Run:
    """One evaluation."""

    folder: Path
    facts: Mapping[str, Any]
    """What ``evaluation.json`` holds."""
    scores: Mapping[str, Mapping[str, Sequence[WindowScore]]]
    """Rows by protocol and method, ``active`` first; the methods in the order of the file."""

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.resolve().name

    @property
    def labels(self) -> list[str]:
        """The stems, in the order of the file."""
        return list(self.facts["labels"])

    @property
    def methods(self) -> dict[str, Mapping[str, Any]]:
        """What is known of each method that was scored."""
        scored = dict.fromkeys(name for methods in self.scores.values() for name in methods)
        return {name: self.facts["methods"].get(name, {}) for name in scored}

    @property
    def judged(self) -> str:
        """The method that the report is about: the first that is no baseline."""
        methods = self.methods
        return next((name for name in methods if not self.is_baseline(name)), next(iter(methods)))

    def is_baseline(self, method: str) -> bool:
        """Whether a method needs no network, or knows the answer."""
        return bool(self.methods[method].get("baseline"))


def read_run(folder: Path) -> Run:
    """The evaluation in a folder.

    Raises:
        InputError: the folder is no evaluation, or one of its files cannot be used.
        UnavailableError: its table of scores is not there.
    """
    facts = _facts(folder)
    found: dict[str, dict[str, list[WindowScore]]] = {}
    for row in read_scores(folder):
        found.setdefault(row.protocol, {}).setdefault(row.method, []).append(window_score(row))
    if not found:
        raise InputError(f"{folder}: its table of scores is empty: evaluate songs with stems")
    order = list(facts["methods"])
    scores = {
        protocol: dict(sorted(found[protocol].items(), key=lambda item: _place(item[0], order)))
        for protocol in sorted(found, key=lambda name: _place(name, ["active", "msdm"]))
    }
    return Run(folder, facts, scores)


def _place(name: str, order: Sequence[str]) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)


def _facts(folder: Path) -> dict[str, Any]:
    path = folder / EVALUATION
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        missing = "no such folder" if not folder.is_dir() else f"no {EVALUATION} in it"
        raise InputError(
            f"{folder}: not an evaluation ({missing}): make one with `gmsdi evaluate ... -o FOLDER`"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}): evaluate again") from error
    if not isinstance(facts, dict) or facts.get("kind") != "separation":
        kind = facts.get("kind") if isinstance(facts, dict) else None
        raise InputError(f"{path}: kind is {kind!r}: only a separation can be reported")
    if facts.get("version") != VERSION:
        raise InputError(
            f"{path}: version is {facts.get('version')!r}, this gmsdi reads {VERSION}: use the "
            "gmsdi that wrote it, or evaluate again"
        )
    for key, kind in (("labels", list), ("methods", dict)):
        if not isinstance(facts.get(key), kind) or not facts[key]:
            raise InputError(f"{path}: {key} is missing or empty: evaluate again")
    return facts
