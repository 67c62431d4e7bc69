"""Names of machines that are not here, and what the compiler's refusals say."""

import importlib.util

import jax
import jax.numpy as jnp
import pytest

from gmsdi_jax.distributed import compile_for, needs, pod
from gmsdi_jax.distributed.ahead import refused
from gmsdi_jax.errors import ConfigError, UnavailableError

LIBTPU = importlib.util.find_spec("libtpu") is not None
with_compiler = pytest.mark.skipif(not LIBTPU, reason="needs pip install 'gmsdi-jax[tpu]'")


def lowered():
    return jax.jit(lambda x: x @ x).lower(jax.ShapeDtypeStruct((256, 256), jnp.float32))


@pytest.mark.parametrize("name", ["v5e", "16x16", "two*v5e:4x4", "v5e:4x4*2", ""])
def test_what_is_no_name(name):
    with pytest.raises(ConfigError, match="is no topology: write v5e:16x16"):
        pod(name)


@pytest.mark.skipif(LIBTPU, reason="the compiler is here")
def test_without_the_compiler():
    with pytest.raises(UnavailableError, match=r"pip install 'gmsdi-jax\[tpu\]'"):
        pod("v5e:4x4")


def test_needs_of_a_program():
    found = needs(lowered().compile())
    assert found.arguments == found.output == 256 * 256 * 4
    assert found.peak >= 2 * 256 * 256 * 4
    assert found.exchange.kinds == ()


def test_what_does_not_fit_is_one_line():
    with pytest.raises(ConfigError, match=r"needs 0\.00 GiB, 0\.00 GiB available: take less"):
        compile_for(lowered().compile, 1000, "take less")


@pytest.mark.parametrize(
    "message",
    [
        "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO "
        "temporaries (16.62G) exceeds available HBM (15.75G).",
        "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom ... 16.62G exceeds available HBM (15.75G)",
        "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 16.62G of 15.75G hbm.",
    ],
)
def test_refusals_of_the_compiler(message):
    assert refused(message) == ("16.62 GiB", "15.75 GiB")


@with_compiler
def test_a_pod_and_what_its_chips_hold():
    assert pod("v5e:4x4").limit == 15.75 * 2**30
    two = pod("2*v5e:2x2")
    slices = [device.slice_index for device in two.devices]
    assert (two.slices, slices) == (2, sorted(slices))


@with_compiler
def test_a_pod_that_nobody_makes():
    with pytest.raises(ConfigError, match="knows no such topology"):
        pod("v9:2x2")
