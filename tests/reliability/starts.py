"""G17, G20: how long a start takes with a compile cache and without, and what a save costs."""

import itertools
import shutil
import statistics
import time

import numpy as np
from reliability.bench import Bench, Outcome, finish, last_step, until


def first_step(bench: Bench, quick: bool) -> Outcome:
    """From the start of the process to the first line, with the cache empty and filled."""
    seconds: dict[str, list[float]] = {"cold": [], "warm": []}
    for _ in range(1 if quick else 3):
        shutil.rmtree(bench.folder / "compiled", ignore_errors=True)
        for kind in ("cold", "warm"):
            out = bench.out(kind)
            began = time.monotonic()
            process = bench.start(out, "--steps", "5")
            until(lambda out=out: last_step(out))
            seconds[kind].append(time.monotonic() - began)
            assert finish(process).code == 0
    cold, warm = (statistics.median(seconds[kind]) for kind in ("cold", "warm"))
    return Outcome(
        True,
        f"{len(seconds['cold'])} starts with an empty compile cache, as many with a full one",
        f"first step after {cold:.1f} s cold, {warm:.1f} s warm ({warm / cold:.0%}); medians, a "
        "report",
    )


def saves(bench: Bench, quick: bool) -> Outcome:
    """Seconds between lines in the 3 steps after a save has begun, against all others."""
    out = bench.out("saves")
    process = bench.start(out, "--steps", "100" if quick else "300", "--save-every", "20")
    times = []
    while process.poll() is None:
        step = last_step(out)
        if step and (not times or step != times[-1][0]):
            times.append((step, time.monotonic()))
        time.sleep(0.001)
    gaps = {b[0]: b[1] - a[1] for a, b in itertools.pairwise(times) if b[0] == a[0] + 1}
    during = [gap for step, gap in gaps.items() if step > 40 and 1 <= step % 20 <= 3]
    others = [gap for step, gap in gaps.items() if step > 40 and step % 20 > 5]
    a, b = np.percentile(during, 95), np.percentile(others, 95)
    return Outcome(
        True,
        f"{len(during)} steps beside a save, {len(others)} others, of {1000 * b:.0f} ms at most "
        "(p95)",
        f"p95 {a / b:.2f} times as long, median "
        f"{statistics.median(during) / statistics.median(others):.2f}; a report, for a model whose "
        "step is as short as a save",
    )
