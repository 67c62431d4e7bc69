"""Puts real trainings through what breaks them, gate by gate, and writes docs/reliability.md.

    make reliability                     all gates: an hour and a half on two CPU cores
    make reliability ARGS="G1 G7"        some
    make reliability ARGS="--quick G1"   a few repeats of each, for a look; writes nothing
    make reliability ARGS="--minutes 9"  no repeat of a gate begins after that

Exits with 1 where a gate does not hold. The gates are those of `reliability.gates`.
"""

import argparse
import math
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from reliability.bench import Bench, Outcome
from reliability.gates import GATES
from reliability.page import Row, write_page


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make reliability")
    parser.add_argument("--quick", action="store_true", help="few repeats; writes no page")
    parser.add_argument("--minutes", type=float, default=math.inf, help="for each gate, at most")
    parser.add_argument("gates", nargs="*", help="such as G1 G7; all without")
    options = parser.parse_args()
    known = {gate.name for gate in GATES} | {gate.name.partition(".")[0] for gate in GATES}
    if unknown := set(options.gates) - known:
        parser.error(f"no such gate: {', '.join(sorted(unknown))}")
    chosen = [gate for gate in GATES
              if not options.gates
              or {gate.name, gate.name.partition(".")[0]} & set(options.gates)]  # fmt: skip
    failed = 0
    for gate in chosen:
        folder = Path(tempfile.mkdtemp(prefix="reliability-"))
        began = time.monotonic()
        try:
            outcome = gate.run(Bench(folder, options.minutes), options.quick)
        except Exception as error:  # one gate that breaks down leaves the others to be run
            outcome = Outcome(False, "broke down", f"{type(error).__name__}: {error}"[:300])
        row = Row(gate.name, gate.what, outcome, time.monotonic() - began)
        print(row.line(), flush=True)
        failed += not outcome.passed
        if not options.quick:
            write_page(row)
        if outcome.passed:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"{gate.name}: its runs are in {folder}", file=sys.stderr)
    return int(failed > 0)


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.exit(main())
