"""The ledger read back: which share of the wall time went into steps that count.

Goodput is the time of steps whose result is in the run's last state, over the wall time from the
first start to the last sign of life. Steps are *lost* where a later start went on from an earlier
checkpoint. What lies between the last line of one start and the beginning of the next is ``down``:
waiting for machines, and the few seconds of work that a kill kept from being written.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gmsdi_jax.errors import UnavailableError

CAUSES = {
    "steps": "steps that count",
    "lost": "lost work, computed again",
    "data": "waiting for data",
    "init": "starting up",
    "restore": "restoring",
    "compile": "compiling",
    "validation": "validation",
    "save": "held up by saves",
    "stop": "stopping",
    "down": "down between starts",
}
"""What wall time goes into, in the order of the table."""


@dataclass
class Start:
    """One process of a run, from its start to its last line.

    Args:
        began: seconds since 1970.
        ended: the last line's time.
        seconds: by cause.
        steps: steps that count.
        lost: steps that were done again by a later start.
        first: step that it went on from.
        stopped: it ended by itself, and was not killed.
    """

    began: float
    ended: float
    seconds: Counter[str] = field(default_factory=Counter)
    steps: float = 0.0
    lost: float = 0.0
    first: int = 0
    stopped: bool = False


@dataclass(frozen=True)
class Account:
    """The starts of a run, in order."""

    starts: list[Start]

    @property
    def wall(self) -> float:
        """Seconds from the first start to the last sign of life."""
        return max(start.ended for start in self.starts) - self.starts[0].began

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by cause, over all starts; they sum to `wall`."""
        total: Counter[str] = Counter()
        for start in self.starts:
            total.update(start.seconds)
        found = {cause: total[cause] for cause in CAUSES}
        return found | {"down": max(0.0, self.wall - sum(found.values()))}

    @property
    def goodput(self) -> float:
        """The share of the wall time that went into steps that count."""
        return self.seconds["steps"] / self.wall if self.wall else 0.0

    @property
    def steps(self) -> int:
        """Steps that count."""
        return round(sum(start.steps for start in self.starts))

    def __str__(self) -> str:
        """A table of causes, and one of starts."""
        steps, seconds = self.steps, self.seconds
        speed = f", {seconds['steps'] / steps:.3g} s each" if steps else ""
        rows = [f"goodput {self.goodput:.1%}: {steps} steps{speed}, in {_span(self.wall)}", ""]
        rows += [f"{'cause':<28}{'seconds':>12}{'share':>9}"]
        for cause, name in CAUSES.items():
            if seconds[cause]:
                share = seconds[cause] / self.wall if self.wall else 0.0
                rows.append(f"{name:<28}{seconds[cause]:>12.1f}{share:>9.1%}")
        rows += ["", f"{'start':<7}{'began':<21}{'wall':>10}{'from step':>11}{'steps':>8}"
                     f"{'lost':>7}  ended"]  # fmt: skip
        for number, start in enumerate(self.starts, 1):
            began = datetime.fromtimestamp(start.began).strftime("%Y-%m-%d %H:%M:%S")
            ended = "by itself" if start.stopped else "killed, or runs still"
            rows.append(
                f"{number:<7}{began:<21}{_span(start.ended - start.began):>10}{start.first:>11}"
                f"{round(start.steps):>8}{round(start.lost):>7}  {ended}"
            )
        return "\n".join(rows)

    def to_json(self) -> str:
        """All numbers as one JSON object."""
        starts = [vars(start) | {"seconds": dict(start.seconds)} for start in self.starts]
        whole = {"goodput": self.goodput, "wall": self.wall, "steps": self.steps}
        return json.dumps({**whole, "seconds": self.seconds, "starts": starts})


@dataclass
class _Done:
    """Steps that a start did, until a later restore takes some of them back."""

    start: Start
    first: int
    last: int
    seconds: float

    def lose_after(self, step: int) -> None:
        count = self.last - self.first + 1
        lost = min(count, self.last - step)
        if lost <= 0:
            return
        seconds = self.seconds * lost / count
        self.start.steps -= lost
        self.start.lost += lost
        self.start.seconds.update({"steps": -seconds, "lost": seconds})
        self.last, self.seconds = self.last - lost, self.seconds - seconds


def account(folder: Path) -> Account:
    """Reads ``folder/goodput.jsonl``.

    Raises:
        UnavailableError: there is none.
    """
    path = folder / "goodput.jsonl"
    starts: list[Start] = []
    done: list[_Done] = []
    for line in _lines(path):
        if line["event"] == "start":
            starts.append(Start(line["time"], line["time"]))
        elif starts:
            _enter(starts[-1], line, done)
    if not starts:
        raise UnavailableError(f"{path}: no run has left its times here; name a run's folder")
    return Account(starts)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a ledger; halves, which kills left, are passed over."""
    for text in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            yield json.loads(text)


def _enter(start: Start, line: dict[str, Any], done: list[_Done]) -> None:
    event, seconds = line["event"], line["seconds"]
    start.ended = max(start.ended, line["time"])
    start.seconds[event] += seconds
    start.stopped = event == "stop"
    if event == "restore" and "step" in line:  # it may have failed
        start.first = line["step"]
        for steps in done:
            steps.lose_after(line["step"])
        done[:] = [steps for steps in done if steps.last >= steps.first]
    elif event == "steps":
        steps = _Done(start, line["first"], line["last"], seconds)
        done.append(steps)
        start.steps += steps.last - steps.first + 1


def _span(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
