"""What every test runs under: the CPU, strict shapes and dtypes, and no silent float64.

The two strict flags turn JAX's silent broadcasting and promotion into errors, so a wrong axis or a
stray float64 fails here and not in a user's ears. They must be set before the first JAX operation,
which is why this file sets them when it is imported.
"""

import os
import signal
import tempfile
from collections.abc import Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("NPROC", "2")  # XLA's thread pool: the same on a laptop and on a big machine
os.environ.setdefault("OMP_NUM_THREADS", "2")
# Tests compile much and compute little: a third of the time goes without XLA's optimizer.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
os.environ.setdefault("WANDB_MODE", "disabled")
# A script's background job (`make test &`) ignores Ctrl-C, and so would all programs that tests
# start and interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Many tests compile the same functions: the second one finds the first one's work on disk, also in
# another process, which inherits these variables.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    COMPILED = tempfile.TemporaryDirectory(prefix="gmsdi-compiled-", ignore_cleanup_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED.name
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax
import numpy as np
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--slow``."""
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips `slow` tests unless asked for, and `device` tests where there is only a CPU."""
    skip = {"slow": pytest.mark.skip(reason="slow: run with --slow")}
    if config.getoption("--slow"):
        del skip["slow"]
    if any("device" in item.keywords for item in items) and jax.default_backend() == "cpu":
        skip["device"] = pytest.mark.skip(reason="device: no accelerator here")
    for item in items:
        for marker in skip.keys() & set(item.keywords):
            item.add_marker(skip[marker])


@pytest.fixture
def x64() -> Iterator[None]:
    """Float64 for one test, where a closed form is compared to more than six digits."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    """NumPy's generator, the same in every test."""
    return np.random.default_rng(0)


@pytest.fixture
def key() -> jax.Array:
    """A JAX key, the same in every test."""
    return jax.random.key(0)
