"""Real processes that train together: the curve of one process, and one stop for all."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from gmsdi_jax.data import Settings, WholeTrack, write_split

LABELS = ("Bass", "Drums", "Guitar", "Piano")
EXPERIMENT = """
from pathlib import Path
from gmsdi_jax.config import ModelConfig, OptimizerConfig, TrainConfig
from gmsdi_jax.models import SpectralConfig

def config():
    network = SpectralConfig(width=16, dilations=(1,), components=4, fft=256, fine_bins=64)
    return TrainConfig(
        data=Path("shards"), out=Path("run"), model=ModelConfig(network=network, window=2**12),
        optimizer=OptimizerConfig(rate=1e-3, warmup=5), window=2**12, batch=16, steps=50,
        log_every=1, save_every=10, eval_every=0, null=0.2,
    )
"""


@pytest.fixture
def folder(tmp_path):
    """The experiment beside its data."""
    rng = np.random.default_rng(0)
    stems = (0.1 * rng.standard_normal((3, 4, 2**15))).astype(np.float32)
    tracks = [WholeTrack(f"T{n}", each) for n, each in enumerate(stems)]
    write_split(tmp_path / "shards/train", Settings(LABELS, chunk=2**13, hop=256), tracks)
    (tmp_path / "tiny.py").write_text(EXPERIMENT)
    return tmp_path


def start(folder, out, devices, *arguments):
    """One process of ``gmsdi train`` with so many devices."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-m", "gmsdi_jax", "train", "tiny.py", "--out", out, "-q", *arguments],
        cwd=folder,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two(folder, out, *arguments):
    """Two that find each other, with four devices each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    together = ("--coordinator", f"127.0.0.1:{port}", "--processes", "2", "--fsdp", "2")
    return [
        start(folder, out, 4, *together, "--process", str(number), *arguments)
        for number in range(2)
    ]


def curve(folder, out):
    """The losses by step."""
    lines = (folder / out / "metrics.jsonl").read_text().splitlines()
    return {line["step"]: line["loss"] for line in map(json.loads, lines)}


@pytest.mark.timeout(600)
def test_two_processes_are_one_and_stop_together(folder):
    """2 x 4 devices, a SIGTERM to one of them, then 1 x 8: the curve of 1 x 8 within 1e-5."""
    alone = start(folder, "alone", 8)
    errors = alone.communicate()[1]
    assert alone.returncode == 0, errors
    both = start_two(folder, "run")
    deadline = time.monotonic() + 200
    while not (folder / "run/checkpoints/10").exists() and time.monotonic() < deadline:
        assert both[0].poll() is None
        time.sleep(0.01)
    both[1].send_signal(signal.SIGTERM)
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [85, 85], said
    assert "SIGTERM: stopped and saved at step" in said[1]
    stopped = max(curve(folder, "run"))
    assert 10 <= stopped < 50
    rest = start(folder, "run", 8, "--resume", "auto")
    errors = rest.communicate()[1]
    assert rest.returncode == 0, errors
    expected, found = curve(folder, "alone"), curve(folder, "run")
    assert list(found) == list(range(1, 51))
    difference = [abs(found[step] - expected[step]) / expected[step] for step in found]
    assert max(difference) < 1e-5
