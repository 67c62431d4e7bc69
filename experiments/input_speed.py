"""How fast training batches are read, beside what reading could be and what training needs.

    python -m experiments.input_speed shards/train --window 262144 --seconds 5

Rates are windows per second of this machine, medians of rounds that take turns, so that what else
the machine does falls on all alike; read the ratios. ``records`` reads raw ArrayRecord files in
random order and does nothing; ``flac`` decodes the same windows from FLAC in memory, what shards of
FLAC would cost; ``batches`` is what training calls. The need of a device is the count of floating
point operations of a training step by XLA, divided by what the device does (``--peak`` and
``--utilisation``). ``docs/data.md`` holds the numbers.
"""

import argparse
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from experiments.paper_scale import batch_of, training
from gmsdi_jax.audio import read, write
from gmsdi_jax.build import Model
from gmsdi_jax.data import Split, WindowConfig, open_split, training_batches
from gmsdi_jax.train.state import first_state, make_optimizer
from gmsdi_jax.train.step import make_step

Read = Callable[[], int]
"""Reads some windows and returns how many."""


def of_records(split: Split, window: int) -> Read:
    """Raw bytes of as many records as a window spans, in random order."""
    rng, count = np.random.default_rng(0), -(-window // split.manifest.settings.chunk)

    def read_some() -> int:
        for number in rng.integers(len(split) - count, size=16):
            for record in range(number, number + count):
                split[record].mixture.sum()  # touches every sample
        return 16

    return read_some


def of_flac(split: Split, window: int) -> Read:
    """The decoding of windows from FLAC in memory."""
    rate = split.manifest.settings.sample_rate
    whole, files = np.flatnonzero(split.remaining >= window)[:8], []
    with tempfile.TemporaryDirectory() as folder:
        for record in whole:
            path = Path(folder) / "window.flac"
            audio = split.window(int(record), 0, window)[:, None].astype(np.float32) / 32768
            write(path, audio, rate, "PCM_16")
            files.append(path.read_bytes())

    def read_all() -> int:
        for data in files:
            read(io.BytesIO(data), name="window.flac")
        return len(files)

    return read_all


def of_batches(split: Split, window: int, batch: int, config: WindowConfig) -> Read:
    """Training batches."""
    batches: Iterator = training_batches(split, window, batch, 0, config)

    def read_one() -> int:
        next(batches)
        return batch

    return read_one


def rate(reader: Read, seconds: float) -> float:
    """Windows per second."""
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        count += reader()
    return count / (time.perf_counter() - started)


def needed(args: argparse.Namespace) -> float:
    """Windows per second that one device trains on."""
    config = replace(training(args), batch=1)
    model = Model(config.model)
    optimizer = make_optimizer(config.optimizer, config.steps)
    state = jax.eval_shape(lambda: first_state(model.init(jax.random.key(0)), config, optimizer))
    step = make_step(model, config, optimizer)
    cost = step.trace(state, batch_of(config, 1)).lower().cost_analysis()
    assert cost is not None
    flops = cost["flops"]
    print(f"a step of {args.preset}: {flops / 1e12:.2f} TFLOP per window", file=sys.stderr)
    return args.peak * 1e12 * args.utilisation / flops


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("split", type=Path, help="prepared data, such as shards/train")
    parser.add_argument("--window", type=int, default=2**18)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--preset", default="paper-slakh")
    parser.add_argument("--peak", type=float, default=989.0, help="TFLOP/s; an H200's in bfloat16")
    parser.add_argument("--utilisation", type=float, default=0.4)
    args = parser.parse_args()
    split = open_split(args.split)
    plain = WindowConfig(gain_db=(-3, 3), polarity=True)
    readers = {
        "records": of_records(split, args.window),
        "flac": of_flac(split, args.window),
        "batches": of_batches(split, args.window, args.batch, plain),
    }
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(args.rounds):
        for name, reader in readers.items():
            rates[name].append(rate(reader, args.seconds))
    args.batch, args.keep = [1], False
    need = needed(args)
    records = statistics.median(rates["records"])
    print(
        f"| windows of {args.window} | per second | of records | of the need |\n"
        "|---|---:|---:|---:|"
    )
    for name, found in rates.items():
        middle = statistics.median(found)
        print(f"| {name} | {middle:.0f} | {middle / records:.2f} | {middle / need:.1f} x |")
    print(f"| need of one device | {need:.1f} | | 1 |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
