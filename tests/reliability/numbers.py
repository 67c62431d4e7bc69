"""G11: data so loud that float32 overflows, under each of the three policies."""

import json
import math
from pathlib import Path

from reliability.bench import Bench, Outcome, committed, finish, write_noise

FLAGS = ("--data", "loud", "--guard.most", "60", "--steps", "40")


def policies(bench: Bench, quick: bool) -> Outcome:
    """abort, skip and rollback, in one process and in two."""
    write_noise(bench.folder / "loud" / "train", loud=1e19, tracks=12)
    notes, told = [], []
    for start, who in ((bench.start, "one"), (bench.launch, "two")):
        for policy in ("abort", "skip", "rollback"):
            out = bench.out(policy)
            flags = (*FLAGS, "--guard.policy", policy)
            ended = finish(start(out, *flags))
            found = _lines(out)
            skipped = sum(line.get("skipped", 0) for line in found)
            finite = all(math.isfinite(line["weights"]) for line in found)
            told.append(
                f"{who} {policy}: exit {ended.code}, step {len(found)}, {skipped:g} left out"
            )
            if ended.code != (70 if policy == "abort" else 0) or not finite:
                notes.append(f"{told[-1]}, {ended.err[-200:]}")
            if policy == "abort" and committed(out) > len(found):
                notes.append(f"{who} abort: checkpoint {committed(out)} after line {len(found)}")
    return Outcome(
        not notes,
        "one of 12 tracks 1e19 times too loud; each policy in one process and in two",
        "; ".join(notes or told),
    )


def _lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
