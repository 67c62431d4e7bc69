"""What bfloat16 inside the network costs: whole sampling trajectories against float32.

    python -m experiments.precision --data shards/test --windows 20

The same windows, noise and settings twice, with the network's arithmetic in float32 and in
bfloat16; weights, audio, noise levels, preconditioning and the sampler are float32 in both. Prints
SI-SDR improvement on sounding stems, and the largest difference in one window of one stem.
Numbers and hardware stand in ``docs/models.md``.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.separators import MODEL, methods, score
from gmsdi_jax.data import fixed_windows, open_split
from gmsdi_jax.errors import GMSDIError
from gmsdi_jax.evaluate import check_same
from gmsdi_jax.metrics.summary import summarise
from gmsdi_jax.pipeline import GMSDI

METHODS = ("direct", "project 10, filtered", "extract 25", "dirac 60")


def in_dtype(model: GMSDI, dtype: str) -> GMSDI:
    """The model with its network's arithmetic in another type."""
    network = replace(model.model.config.network, dtype=dtype)
    return GMSDI(replace(model.model.config, network=network), model.params, model.name)


def main() -> int:
    """Runs the command line and returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a prepared split with stems")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--window", type=int, default=2**16, help="samples")
    parser.add_argument("--rows", type=int, default=4, help="windows per call")
    args = parser.parse_args()
    try:
        model, split = GMSDI.from_pretrained(args.model), open_split(args.data)
        check_same(model.model, split)
        windows = fixed_windows(split, args.window, args.windows)
    except GMSDIError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    chosen = methods(model.model.config.separation)
    print("| method | float32, dB | bfloat16, dB | difference, dB | largest of one stem, dB |")
    print("|---|---:|---:|---:|---:|")
    for name in METHODS:
        found = [
            score(in_dtype(model, dtype), windows, chosen[name], 0, args.rows)[0]
            for dtype in ("float32", "bfloat16")
        ]
        full, half = (summarise(rows).overall for rows in found)
        gains = np.array([[row.improvement for row in rows if row.active] for rows in found])
        apart = f"{np.abs(gains[1] - gains[0]).max():.3f}"
        print(f"| {name} | {full:.3f} | {half:.3f} | {half - full:+.4f} | {apart} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
