"""Checkpoints come back bit for bit on another number of devices and of processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("checkpoint_devices.py")


def start(folder, *arguments):
    """The script, which adds its own devices."""
    env = {"XLA_FLAGS": "", **os.environ, "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, SCRIPT, folder, *map(str, arguments)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*processes):
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert not any(process.returncode for process in processes), "\n".join(said)


def test_any_mesh_to_any_other(tmp_path):
    """In one process of 8 devices; digests are the same on all meshes."""
    finish(start(tmp_path, "within"))


@pytest.mark.slow
@pytest.mark.parametrize(("saved", "restored"), [(1, 8), (8, 1), (8, 2), (2, 8), (4, 3)])
def test_processes_with_other_devices(tmp_path, saved, restored):
    """A machine of another size: the one that saved had other devices than the one that reads."""
    finish(start(tmp_path, "save", saved))
    finish(start(tmp_path, "restore", restored))


@pytest.mark.slow
def test_two_processes_agree_and_one_reads_it(tmp_path):
    """Damage that one of two processes sees is damage for both; one process reads their state."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    finish(*[start(tmp_path, "pair", process, port) for process in (0, 1)])
    finish(start(tmp_path, "restore", 1))
