"""The configuration as dotted keys and values, and where two runs differ in them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from gmsdi_jax.report.run import Run

_RESULTS = {"real_time_factor", "evaluations", "version", "kind"}
"""Of the facts, what was measured or goes without saying."""


class Difference(NamedTuple):
    """One key that two runs do not agree on; None where a run has no such key."""

    key: str
    here: str | None
    there: str | None


def settings(run: Run) -> dict[str, str]:
    """All that was chosen, as text by dotted key, in the order of the file."""
    return dict(_flat("", run.facts))


def differences(run: Run, other: Run) -> list[Difference]:
    """The keys whose values differ, in this run's order and then the other's."""
    here, there = _shared(run, other), _shared(other, run)
    keys = dict.fromkeys([*here, *there])
    return [
        Difference(key, here.get(key), there.get(key))
        for key in keys
        if here.get(key) != there.get(key)
    ]


def _shared(run: Run, other: Run) -> dict[str, str]:
    """The settings of a run, but of a method that the other run has not, only that it is there."""
    own, others = run.facts["methods"], other.facts["methods"]
    methods = {name: facts for name, facts in own.items() if name in others}
    extra = {f"methods.{name}": "scored" for name in own if name not in others}
    return dict(_flat("", {**run.facts, "methods": methods})) | extra


def _flat(prefix: str, facts: Mapping[str, Any]):
    for key, value in facts.items():
        if key in _RESULTS:
            continue
        if isinstance(value, Mapping) and value:
            yield from _flat(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None or value == {} else str(value)
