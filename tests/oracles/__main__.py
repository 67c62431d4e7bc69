"""Prints how far every separator is from the exact answer, and writes docs/oracles.md and .svg.

Run it by ``make oracles``: it needs `tests` on the path. Two processes share the work.
"""

import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from oracles.tables import coloured, gaussian, generation, page, sparse, weak

DOCS = Path(__file__).resolve().parents[2] / "docs"


def main() -> None:
    """Computes, writes and prints."""
    began = time.perf_counter()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(m.rows) for m in (gaussian, coloured, weak, sparse, generation)]
        gaussians, coloureds, weaks, sparses, generated = (each.result() for each in waiting)
    text = page.page(gaussians, sparses, coloureds, weaks, generated)
    (DOCS / "oracles.md").write_text(text)
    page.draw(gaussians, DOCS / "oracles.svg")
    print(text)
    print(f"written to docs/ in {time.perf_counter() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
