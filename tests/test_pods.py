"""The scaling model on paper: closed facts; and the table of docs/scaling.md, compiled again."""

import importlib.util
import re
from dataclasses import replace
from pathlib import Path

import jax
import pytest

from experiments.paper_slakh import config
from experiments.pods import CHIPS, Times, modelled, row, times
from gmsdi_jax.distributed import Needs, pod
from gmsdi_jax.distributed.hlo import Exchange, Traffic
from gmsdi_jax.train.ahead import compile_step

GIB = 2**30
EXCHANGE = Exchange((Traffic("all-gather", 3, GIB, 16), Traffic("dcn-all-reduce", 1, GIB // 4, 32)))


def test_a_step_takes_the_longest_of_three():
    found = times(CHIPS["v5e"], 197e12, 100e9, 3.125e9, mfu=0.5)
    assert (found.compute, found.ici, found.dcn) == pytest.approx((2, 1, 1))
    assert (found.step, Times(1, 3, 2).step) == (pytest.approx(2), 3)


def test_lines_of_the_tables():
    need = Needs(GIB, 2 * GIB, 0, 10e12, EXCHANGE)
    assert row("2*v5e:4x4", 4, need, 16 * GIB, 60) == (
        "| 2*v5e:4x4 | 4 | 3.00 of 16.00 | 10.00 | 1.000 | 0.250 | "
        "3 all-gather, 1 dcn-all-reduce | 60 |"
    )
    assert modelled("2*v5e:4x4", 4, need, 0.4) == "| 2*v5e:4x4 | 4 | 127 | 11 | 86 | 127 |"


def test_what_the_compiler_does_not_count_is_not_modelled():
    need = Needs(GIB, 0, 0, None, EXCHANGE)
    assert "counts no operations" in modelled("v5e:4x4", 1, need, 0.4)


PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
RECORDED = [
    [cell.strip() for cell in line.strip("| \n").split("|")]
    for line in PAGE.read_text().splitlines()
    if re.match(r"\| (\d\*)?v\d\w*:\S+ \| \d+ \| [\d.]+ of", line)
]


def test_all_that_was_compiled_fits():
    assert RECORDED
    for cells in RECORDED:
        needed, limit = map(float, cells[2].split(" of "))
        assert needed < limit, cells


@pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="needs gmsdi-jax[tpu]")
@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("recorded", RECORDED, ids=lambda cells: f"{cells[0]}-{cells[1]}")
def test_the_step_still_needs_what_the_page_says(recorded):
    """Memory, operations, bytes and collectives, as recorded; each takes a quarter of an hour."""
    target, per_chip = pod(recorded[0]), int(recorded[1])
    with jax.numpy_dtype_promotion("standard"):
        run = replace(config(), batch=per_chip * len(target.devices), fsdp=16)
        need = compile_step(run, target).needs
    found = row(recorded[0], per_chip, need, target.limit, 0)
    assert [cell.strip() for cell in found.strip("| ").split("|")][:-1] == recorded[:-1]
