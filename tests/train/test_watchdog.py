"""A loop that hangs ends by itself, and leaves its stacks behind."""

import contextlib
import io
import subprocess
import sys
import time

from gmsdi_jax.train.watchdog import Watchdog

SCRIPT = """
import ctypes, sys, time
from pathlib import Path
from gmsdi_jax.train import watchdog

watchdog._GRACE = 1.0
def stuck_in_python():
    time.sleep(60)
def stuck_in_a_library():
    ctypes.PyDLL(None).sleep(60)  # keeps the interpreter to itself
def compiling():
    dog.pause()
    time.sleep(3)
with watchdog.Watchdog(1.0, Path(sys.argv[1])) as dog:
    for _ in range(4):
        time.sleep(0.5)
        dog.beat()
    globals()[sys.argv[2]]()
print("ended by itself")
"""


def run(folder, what):
    started = time.monotonic()
    ran = subprocess.run(
        (sys.executable, "-c", SCRIPT, folder, what),
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    return ran, time.monotonic() - started


def test_where_it_hangs_is_told(tmp_path):
    ran, seconds = run(tmp_path / "stacks", "stuck_in_python")
    assert ran.returncode == 75
    assert seconds < 40
    line = next(line for line in ran.stderr.splitlines() if line.startswith("gmsdi:"))
    assert "no step was finished for 1 s" in line
    path = tmp_path / "stacks" / "process-0.txt"
    assert str(path) in line
    for text in (path.read_text(), ran.stderr):
        assert "stuck_in_python" in text
        assert "Current thread" in text


def test_a_library_that_keeps_the_interpreter(tmp_path):
    """Python cannot run any more: the stacks come all the same."""
    ran, seconds = run(tmp_path, "stuck_in_a_library")
    assert ran.returncode == 1
    assert seconds < 40
    assert "stuck_in_a_library" in ran.stderr


def test_what_may_take_long_is_not_watched(tmp_path):
    ran, _ = run(tmp_path, "compiling")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "ended by itself" in ran.stdout
    assert not any(tmp_path.iterdir())


def test_a_stderr_that_is_no_file(tmp_path):
    """As in a notebook: training goes on."""
    with contextlib.redirect_stderr(io.StringIO()), Watchdog(60.0, tmp_path) as dog:
        dog.beat()
        dog.pause()
