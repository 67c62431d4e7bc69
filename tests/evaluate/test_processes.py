"""Real processes that evaluate together: the songs are shared, the tables are those of one."""

import os
import socket
import subprocess
import sys

import jax
import pytest
from evaluate.tones import CONFIG

from gmsdi_jax.build import Model
from gmsdi_jax.metrics.scores import read_scores
from gmsdi_jax.weights import save_model


def start(split, model, out, *arguments):
    """One process of ``gmsdi evaluate``."""
    command = ("evaluate", "--data", split.folder, "-m", model, "-o", out, *arguments)
    return subprocess.Popen(
        [sys.executable, "-m", "gmsdi_jax", *map(str, command)],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_share_the_songs(split, tmp_path):
    """Each computes half, one prints the card, and the scores are those of a process alone."""
    params = jax.jit(Model(CONFIG).init)(jax.random.key(0))
    save_model(tmp_path / "model", CONFIG, params)
    alone = start(split, tmp_path / "model", tmp_path / "alone")
    card, errors = alone.communicate()
    assert alone.returncode == 0, errors
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    together = ("--coordinator", f"127.0.0.1:{port}", "--processes", "2")
    both = [
        start(split, tmp_path / "model", tmp_path / "both", *together, "--process", number)
        for number in range(2)
    ]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said[0][0].splitlines()[-1] == card.splitlines()[-1]
    assert "Method" not in said[1][0]  # gloo greets on stdout
    scores = [read_scores(tmp_path / name) for name in ("alone", "both")]
    assert [repr(row) for row in scores[0]] == [repr(row) for row in scores[1]]
