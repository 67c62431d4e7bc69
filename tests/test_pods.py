"""The scaling model on paper: closed facts."""

import pytest

from experiments.pods import CHIPS, Times, modelled, row, times
from gmsdi_jax.distributed import Needs
from gmsdi_jax.distributed.hlo import Exchange, Traffic

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
