"""G19: a long run neither grows nor collects files and threads."""

import os
import time
from pathlib import Path

import numpy as np
from reliability.bench import Bench, Outcome, finish, last_step


def facts(pid: int) -> tuple[float, int, int]:
    """MB of memory, open files and threads of a process."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    files = len(os.listdir(f"/proc/{pid}/fd"))
    return int(status["VmRSS"].split()[0]) / 1024, files, int(status["Threads"])


def soak(bench: Bench, quick: bool) -> Outcome:
    """Memory over steps, as a straight line through all samples after the first fifth."""
    steps = 1000 if quick else 10_000
    out, seen = bench.out("soak"), []
    flags = ("--steps", str(steps), "--log-every", "10", "--save-every", "100")
    process = bench.start(out, *flags)
    while process.poll() is None:
        if step := last_step(out):
            try:
                seen.append((step, *facts(process.pid)))
            except (OSError, KeyError):
                break
        time.sleep(1)
    ended = finish(process)
    rows = np.array([row for row in seen if steps / 5 < row[0] < 0.98 * steps])
    slope = float(np.polyfit(rows[:, 0] / 1000, rows[:, 1], 1)[0])
    half = len(rows) // 2
    files = [int(np.median(part[:, 2])) for part in (rows[:half], rows[half:])]
    threads = [int(np.median(part[:, 3])) for part in (rows[:half], rows[half:])]
    passed = ended.code == 0 and slope < 1 and files[1] <= files[0] and threads[1] <= threads[0]
    return Outcome(
        passed,
        f"{steps} steps with {steps // 100} checkpoints, {len(seen)} looks at /proc",
        f"{slope:+.3f} MB per 1,000 steps after step {steps // 5} (RSS {rows[-1, 1]:.0f} MB); "
        f"files {files[0]} then {files[1]}, threads {threads[0]} then {threads[1]} (medians of "
        "the two halves)",
    )
