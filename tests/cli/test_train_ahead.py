"""``gmsdi train --dry-run`` and ``--compile-for``: told before it runs, nothing read or written."""

import importlib.util

import jax
import pytest

from gmsdi_jax.distributed import pod

LIBTPU = importlib.util.find_spec("libtpu") is not None
with_compiler = pytest.mark.skipif(not LIBTPU, reason="needs pip install 'gmsdi-jax[tpu]'")
EXPERIMENT = """
from pathlib import Path
from gmsdi_jax.config import ModelConfig, TrainConfig
from gmsdi_jax.models import SpectralConfig

def config():
    network = SpectralConfig(width=16, dilations=(1,), components=4, fft=256, fine_bins=64)
    return TrainConfig(
        data=Path("no-such-data"), out=Path("run"),
        model=ModelConfig(network=network, window=2**13), window=2**12, batch=16,
    )
"""


@pytest.fixture(autouse=True)
def standard_promotion():
    """Optax raises floats to the power of the step: not strict."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture
def train(gmsdi, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(EXPERIMENT)
    return lambda *arguments: gmsdi("train", "tiny.py", *arguments)


def test_a_dry_run_reads_and_writes_nothing(train, tmp_path):
    answer = train("--dry-run")
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0].startswith("mesh: data 1 x fsdp 1, 1 devices (cpu)")
    assert "batch: 16 windows, 16 per device in 1 parts; 3.0 s of audio per step" in lines
    assert "    1 x network/blocks/*/out/kernel (16, 16) whole 1,024" in lines
    assert "exchange: nothing" in lines
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".py"] in (
        [],
        ["__pycache__"],
    )


@pytest.mark.skipif(LIBTPU, reason="the compiler is here")
def test_without_the_compiler(train):
    answer = train("--compile-for", "v5e:4x4")
    assert (answer.code, answer.out) == (4, "")
    assert "pip install 'gmsdi-jax[tpu]'" in answer.err


def test_no_such_pod(train):
    answer = train("--compile-for", "sixteen")
    assert answer.code == 2
    assert "'sixteen' is no topology: write v5e:16x16" in answer.err


@with_compiler
@pytest.mark.slow
def test_a_tiny_model_on_a_pod(train):
    answer = train("--compile-for", "v5e:4x4", "--fsdp", "16")
    assert answer.code == 0, answer.err
    assert "mesh: data 1 x fsdp 16, 16 devices (TPU v5 lite)" in answer.out
    assert "of 15.75 GiB" in answer.out
    assert "exchange: 1 all-gather, groups of 16, each device sends 0.03 MiB" in answer.out
    assert pod("v5e:4x4").slices == 1


@with_compiler
@pytest.mark.slow
def test_separation_and_generation_on_a_pod(gmsdi, make_model, tmp_path):
    model = make_model(tmp_path / "model")
    (model / "model.safetensors").unlink()
    answer = gmsdi("separate", "-m", str(model), "--compile-for", "v5e:4x4", "--rows", "4")
    assert answer.code == 0, answer.err
    assert "on one host of v5e:4x4: 4 devices" in answer.out
    answer = gmsdi("generate", "-m", str(model), "-s", "Bass", "--compile-for", "v5e:4x4")
    assert answer.code == 0, answer.err
    assert "generation: 1 stems of 6 s on one chip of v5e:4x4" in answer.out


def test_separation_and_generation_without_the_compiler_or_the_name(gmsdi, make_model, tmp_path):
    model = str(make_model(tmp_path / "model"))
    code = 2 if LIBTPU else 4
    for words in (("separate",), ("generate", "-s", "Bass")):
        assert gmsdi(*words, "-m", model, "--compile-for", "sixteen").code == 2
        assert gmsdi(*words, "-m", model, "--compile-for", "v5e:99x1").code == code
