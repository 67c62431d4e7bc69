"""A batched call on one device: filled up, cut, in order, measured; and what stays as it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.distributed import BatchedCall, device_mesh, over_windows, shard_rows
from gmsdi_jax.errors import ConfigError, UnavailableError

WINDOW = (jax.ShapeDtypeStruct((), np.uint32), jax.ShapeDtypeStruct((5,), np.float32))


def run(spread, weight, numbers, x):
    """Two answers per window: its number, and what a denoiser says of it."""
    denoise = spread(lambda x, sigma, text: weight * x)
    own = jnp.broadcast_to(numbers.astype(x.dtype)[:, None], x.shape)
    return jnp.stack([own, denoise(x, jnp.float32(1), None)], 1)


def call(**options) -> BatchedCall:
    return BatchedCall(run, (jnp.float32(3),), WINDOW, 1, **options)


def test_one_device_changes_nothing():
    mesh = device_mesh(jax.devices()[:1])
    assert over_windows(run, mesh) is run
    assert shard_rows(run, mesh) is run


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("windows", [1, 2, 3, 100])
def test_any_number_of_windows_by_any_number(count, windows, rng):
    """In order, each from itself alone, as many as were given."""
    numbers = np.arange(10, 10 + count, dtype=np.uint32)
    x = rng.standard_normal((count, 5)).astype(np.float32)
    answer = call(windows=windows)(numbers, x)
    assert (answer.shape, answer.dtype) == ((count, 2, 5), np.float32)
    assert_array_equal(answer[:, 0], np.repeat(numbers[:, None], 5, 1))
    assert_allclose(answer[:, 1], 3 * x, rtol=1e-6)


def test_the_cpu_is_not_measured_unless_asked(monkeypatch):
    """Two windows, or as many as there are, without compiling."""
    monkeypatch.setattr(BatchedCall, "_compile", lambda *_: pytest.fail("compiled"))
    assert call().plan.windows == 2
    assert call(most=1).plan.windows == 1
    assert call(windows=9, most=4).plan.windows == 4


def test_asked_for_it_is_measured():
    """What the plan says is what the compiled call takes."""
    made = call(windows="auto", most=6)
    assert made.plan.windows == 6
    memory = made.compile().memory_analysis()
    assert memory is not None
    own = memory.output_size_in_bytes + memory.temp_size_in_bytes
    weight = 4
    assert made.plan.needed == own + memory.argument_size_in_bytes - weight
    assert f"of {made.plan.limit / 2**30:.3g} GiB" in str(made.plan)


def test_a_call_is_compiled_once():
    made = call(windows=2)
    assert made.compile() is made.compile()


def test_no_window_per_call_is_refused():
    with pytest.raises(ConfigError, match="rows is 0"):
        call(windows=0)


@pytest.mark.parametrize("message", ["RESOURCE_EXHAUSTED: 34G of 16G", "INTERNAL: a bug"])
def test_a_compiler_out_of_memory_is_not_a_crash(monkeypatch, message):
    """No window fits; any other failure of the compiler is one."""

    def refuse(*_):
        raise jax.errors.JaxRuntimeError(message)

    monkeypatch.setattr(BatchedCall, "_compile", refuse)
    expected = UnavailableError if "RESOURCE" in message else jax.errors.JaxRuntimeError
    with pytest.raises(expected, match=r"one window|a bug"):
        _ = call(windows="auto").plan
