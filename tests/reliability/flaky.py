"""G8: a file system whose calls fail now and then; `flaky.c` is put before the C library's."""

import subprocess
from collections import Counter
from pathlib import Path

from reliability.bench import Bench, Outcome, curve, finish

ALLOWED = {0, 4, 74}  # done, no input, no output


def flaky(bench: Bench, quick: bool) -> Outcome:
    """Each seed trains until it is done or ends with a line; then without failures to the end."""
    shim = bench.folder / "flaky.so"
    source = Path(__file__).with_name("flaky.c")
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl", "-pthread"], check=True
    )
    expected, came, notes = bench.whole(), Counter(), []
    count = 0
    while not bench.enough(count, 2 if quick else 20):
        seed, count = count, count + 1
        out = bench.out("flaky")
        variables = {"LD_PRELOAD": str(shim), "FLAKY_UNDER": str(out), "FLAKY_SEED": str(seed)}
        ended = finish(bench.start(out, **variables))
        lines = ended.err.splitlines()
        last = lines[-1][:160] if lines else ""
        came["done" if ended.code == 0 else f"exit {ended.code}"] += 1
        if ended.code not in ALLOWED or len(lines) > 1:
            notes.append(f"seed {seed}: exit {ended.code}, {len(lines)} lines: {last}")
        ended = finish(bench.start(out))
        if ended.code or curve(out) != expected:
            notes.append(f"seed {seed}: then exit {ended.code} {ended.err[-160:]}")
    outcomes = ", ".join(f"{number} {what}" for what, number in sorted(came.items()))
    wrong = "; ".join(notes)[:600]
    return Outcome(
        not notes,
        f"{count} seeds: 1 % of open, write, fsync, rename, mkdir fail with EIO or ESTALE, 1 % "
        "take 200 ms",
        f"{outcomes}" + (f"; wrong: {wrong}" if wrong else f", each in one line; {count}/{count} "
        "went on to equal bits"),
    )  # fmt: skip
