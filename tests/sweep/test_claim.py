"""One process at a time has a cell, and what a dead one left behind is taken over."""

import json
import os
import socket
import subprocess
import sys

from gmsdi_jax.sweep.claim import CLAIM, claimed, is_taken


def test_a_cell_is_claimed_once(tmp_path):
    """Whoever comes second is told no, and the first one's claim ends with its block."""
    with claimed(tmp_path / "cell") as first:
        assert first
        with claimed(tmp_path / "cell") as second:
            assert not second
        assert is_taken(tmp_path / "cell")
    assert not is_taken(tmp_path / "cell")
    with claimed(tmp_path / "cell") as again:
        assert again


def test_the_claim_of_a_dead_process_is_taken_over(tmp_path):
    """On this host at once."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    (tmp_path / CLAIM).write_text(json.dumps([socket.gethostname(), child.pid]))
    with claimed(tmp_path) as ours:
        assert ours


def test_the_claim_of_another_host_is_kept_while_it_is_fresh(tmp_path):
    """Nobody here can see whether the process lives, only whether it touches its file."""
    path = tmp_path / CLAIM
    path.write_text(json.dumps(["another host", 1]))
    with claimed(tmp_path) as ours:
        assert not ours
    old = path.stat().st_mtime - 301
    os.utime(path, (old, old))
    with claimed(tmp_path) as ours:
        assert ours
    path.write_text("")  # killed before a word was written
    with claimed(tmp_path) as ours:
        assert not ours
