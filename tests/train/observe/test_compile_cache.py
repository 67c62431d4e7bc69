"""The compile cache as three starts of a run see it, each a process of its own."""

import os
import subprocess
import sys

import pytest

from gmsdi_jax.train.observe.compile_cache import cpu_kind

START = """
import sys
from pathlib import Path
import jax, jax.numpy as jnp
from gmsdi_jax.train.observe.compile_cache import Compilation, keep_compiled
keep_compiled(Path(sys.argv[1]) if sys.argv[1:] else None, print)
x = jnp.ones(4)
with Compilation(print).watch("step 1"):
    jax.jit(lambda x: jnp.tanh(x) @ x)(x).block_until_ready()
"""


@pytest.fixture
def start(tmp_path):
    """What a start says, on stdout and stderr."""

    def run(*arguments, **more):
        env = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"} | more
        env |= {
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PLATFORMS": "cpu",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
        command = [sys.executable, "-c", START, *map(str, arguments)]
        found = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        assert found.returncode == 0, found.stderr
        return found.stdout, found.stderr

    return run


def test_cold_warm_damaged_and_warm_again(start, tmp_path):
    """A damaged entry costs one compilation, and jax would leave it there for ever."""
    folder = tmp_path / "cache" / "gmsdi-jax" / "compiled" / cpu_kind()
    assert "cold: cache miss, kept for the next start in" in start()[0]
    assert "warm: cache hit" in start()[0]
    for path in folder.glob("*-cache"):
        path.write_bytes(path.read_bytes()[:100])
    out, err = start()
    assert "cold" in out
    assert "damaged compile cache entries are deleted" in out
    assert "Traceback" not in err
    start()
    assert "warm: cache hit" in start()[0]


def test_a_folder_that_cannot_be_made_is_one_line(start, tmp_path):
    (tmp_path / "taken").write_text("")
    out, err = start(tmp_path / "taken" / "cache")
    assert out.splitlines()[0].startswith("compiled steps are not kept (")
    assert "of compiling, which is not kept" in out
    assert err == ""


def test_the_environment_says_where(start, tmp_path):
    out, _ = start(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"))
    assert f"kept for the next start in {tmp_path / 'mine'}" in out
    assert list((tmp_path / "mine").glob("*-cache"))
