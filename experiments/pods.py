"""What the paper's training step needs on TPU pods that are not here, and how it might scale.

    python -m experiments.pods                                    # every pod; hours on two cores
    python -m experiments.pods --pods v5e:4x4 --per-chip 4 8      # one
    python -m experiments.pods --pods v5e:2x2 --fsdp 1 --per-chip 1 2

Compiles `experiments/paper_slakh.py` (pip install 'gmsdi-jax[tpu]') with so many windows per chip
and prints a line for each: memory that the compiler plans, operations, bytes that a chip sends. A
line that does not fit says so; the batch to take is the largest that fits.

The second table is a model on paper, not a measurement: a step takes the longer of its operations
at `--mfu` of the published peak and its bytes over `ICI_SHARE` of the published links. Published
numbers are those of Google's pages on each generation of Cloud TPU.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from experiments.paper_slakh import config
from gmsdi_jax.console import Console
from gmsdi_jax.distributed import Needs, pod
from gmsdi_jax.errors import ConfigError, GMSDIError
from gmsdi_jax.train.ahead import compile_step

GIB, GB = 2**30, 1e9
PODS = ("v5e:4x4", "v5e:16x16", "v6e:4x4", "v5p:8x8x8", "2*v5e:4x4")
ICI_SHARE = 0.5
"""Assumed: of the links' bandwidth in one direction, what an exchange reaches."""


@dataclass(frozen=True)
class Chip:
    """Published numbers of one chip."""

    peak: float
    """bfloat16 operations per second."""
    ici: float
    """Bytes per second to other chips of the slice, one direction: half of what is published."""
    dcn: float
    """Bytes per second to other slices: a pod's share for one chip."""


CHIPS = {
    "v5e": Chip(197e12, 200 * GB, 6.4e12 / 8 / 256),  # 400 GBps both ways; 6.4 Tbps for 256 chips
    "v5p": Chip(459e12, 600 * GB, 50e9 / 8),  # 1200 GBps both ways; 50 Gbps
    "v6e": Chip(918e12, 400 * GB, 100e9 / 8),  # 800 GBps both ways; 100 Gbps
}


@dataclass(frozen=True)
class Times:
    """Seconds of one step, as the model has them."""

    compute: float
    """All operations at the assumed share of the peak."""
    ici: float
    """The exchange within a slice."""
    dcn: float
    """The exchange between slices."""

    @property
    def step(self) -> float:
        """The longest: the model takes it that all three overlap."""
        return max(self.compute, self.ici, self.dcn)


def times(chip: Chip, operations: float, ici: float, dcn: float, mfu: float) -> Times:
    """The model of a step.

    Args:
        chip: published numbers.
        operations: of one chip.
        ici: bytes that a chip sends within its slice.
        dcn: bytes that it sends to other slices.
        mfu: share of the peak that is assumed.
    """
    return Times(operations / (mfu * chip.peak), ici / (ICI_SHARE * chip.ici), dcn / chip.dcn)


def row(name: str, per_chip: int, need: Needs, limit: int, seconds: float) -> str:
    """A line of the first table."""
    sent = need.exchange
    kinds = ", ".join(f"{kind.count} {kind.kind}" for kind in sent.kinds) or "none"
    operations = "unknown" if need.operations is None else f"{need.operations / 1e12:.2f}"
    return (
        f"| {name} | {per_chip} | {need.peak / GIB:.2f} of {limit / GIB:.2f} | {operations} | "
        f"{sent.sent(dcn=False) / GIB:.3f} | {sent.sent(dcn=True) / GIB:.3f} | {kinds} | "
        f"{seconds:.0f} |"
    )


def modelled(name: str, per_chip: int, need: Needs, mfu: float) -> str:
    """A line of the second table."""
    chip = CHIPS[name.split("*")[-1].split(":")[0]]
    if need.operations is None:
        return f"| {name} | {per_chip} | the compiler counts no operations | | | |"
    sent = need.exchange
    took = times(chip, need.operations, sent.sent(dcn=False), sent.sent(dcn=True), mfu)
    parts = " | ".join(f"{1e3 * value:.0f}" for value in (took.compute, took.ici, took.dcn))
    return f"| {name} | {per_chip} | {parts} | {1e3 * took.step:.0f} |"


def measured(args: argparse.Namespace) -> Iterator[tuple[str, int, Needs]]:
    """Compiles all cases and prints a line for each."""
    print("| pod | windows per chip | memory, GiB | TFLOP per chip | sent in a slice, GiB | "
          "between slices, GiB | collectives | compiled in, s |")  # fmt: skip
    print("|---|---:|---:|---:|---:|---:|---|---:|")
    for name in args.pods:
        target = pod(name)
        for per_chip in args.per_chip:
            batch = per_chip * len(target.devices)
            run = replace(config(), batch=batch, fsdp=args.fsdp)
            started = time.monotonic()
            try:
                ahead = compile_step(run, target)
            except ConfigError as error:
                print(f"| {name} | {per_chip} | {error} | | | | | |", flush=True)
                continue
            spent = time.monotonic() - started
            print(row(name, per_chip, ahead.needs, target.limit, spent), flush=True)
            yield name, per_chip, ahead.needs


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pods", nargs="+", default=list(PODS))
    parser.add_argument("--per-chip", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--fsdp", type=int, default=16)
    parser.add_argument("--mfu", type=float, default=0.4, help="assumed share of the peak")
    args = parser.parse_args()
    try:
        found = list(measured(args))
    except GMSDIError as error:
        Console().error(error)
        return error.exit_code
    print(f"\nA model, not a measurement: {args.mfu:g} of the peak, {ICI_SHARE:g} of the links.\n")
    print(
        "| pod | windows per chip | compute, ms | in a slice, ms | between slices, ms | step, ms |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    for name, per_chip, need in found:
        print(modelled(name, per_chip, need, args.mfu))
    return 0


if __name__ == "__main__":
    sys.exit(main())
