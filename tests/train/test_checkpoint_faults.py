"""Kills, full disks and failing writes: no committed step is lost, and no error is swallowed."""

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from train.checkpoint_states import bits, names, save_steps, state_of

from gmsdi_jax.errors import ConfigError, OutputError
from gmsdi_jax.train.checkpoint import Checkpoints
from gmsdi_jax.train.checkpoint.folder import size_of

CHILD = Path(__file__).with_name("checkpoint_child.py")


@contextlib.contextmanager
def files_of_at_most(size):
    """Writes beyond `size` bytes of a file fail, as on a full disk; needs no rights."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def until_it_raises(call):
    """What a training loop does: the same call after every step."""
    for _ in range(1000):
        call()
        time.sleep(0.01)


@pytest.fixture
def folder(tmp_path):
    save_steps(tmp_path / "c", 1, 2)
    return tmp_path / "c"


@pytest.mark.parametrize("surfaces", ["check", "save", "wait", "close"])
def test_a_failed_write_surfaces_at_the_next_call(folder, surfaces, capfd, caplog):
    """Once, as one line; the step is not there, the ones before it are, and it can be saved."""
    checkpoints = Checkpoints(folder, keep=5)
    with files_of_at_most(2000):
        checkpoints.save(3, state_of(3), {})
        time.sleep(0.5)
    calls = {
        "check": lambda: until_it_raises(checkpoints.check),
        "save": lambda: checkpoints.save(4, state_of(4), {}),
        "wait": checkpoints.wait,
        "close": checkpoints.close,
    }
    with pytest.raises(OutputError) as error:
        calls[surfaces]()
    line = str(error.value)
    assert error.value.exit_code == 74
    assert line.startswith(f"{folder / '3'}: not saved (")
    assert line.endswith("): the checkpoints before it are whole; mend this and resume")
    assert len(line) < 400
    checkpoints.close()
    assert checkpoints.latest == 2
    assert names(folder) == {"1", "2"}
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]
    assert capfd.readouterr().err == ""
    save_steps(folder, 3)
    assert bits(checkpoints.restore(state_of(0))[0]) == bits(state_of(3))


def test_a_save_goes_on_after_a_failed_one(folder):
    """Whoever catches the error keeps a run that saves."""
    checkpoints = Checkpoints(folder, keep=5)
    with files_of_at_most(2000):
        checkpoints.save(3, state_of(3), {})
        with pytest.raises(OutputError):
            checkpoints.wait()
    checkpoints.save(3, state_of(3), {})
    checkpoints.close()
    assert names(folder) == {"1", "2", "3"}


def test_room_is_asked_for_before_a_save(folder, monkeypatch):
    """1.2 times the last checkpoint must be free, or the state for the first one."""
    size = size_of(folder / "2")
    for free, fits in ((1.21 * size, True), (1.19 * size, False)):
        usage = shutil._ntuple_diskusage(1, 1, free)
        monkeypatch.setattr(shutil, "disk_usage", lambda path, usage=usage: usage)
        checkpoints = Checkpoints(folder, keep=5)
        checkpoints.resume(state_of(0))
        if fits:
            checkpoints.save(3, state_of(3), {})
            checkpoints.close()
            shutil.rmtree(folder / "3")
        else:
            with pytest.raises(OutputError, match=r"/3: not saved, 0.00 GiB are needed and 0.00"):
                checkpoints.save(3, state_of(3), {})
            checkpoints.close()
    state = 1.19 * sum(leaf.nbytes for leaf in jax.tree.leaves(state_of(1)))
    usage = shutil._ntuple_diskusage(1, 1, state)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    first = Checkpoints(folder.parent / "new", keep=2)
    with pytest.raises(OutputError, match=r"make room or lower keep, then resume"):
        first.save(1, state_of(1), {})
    assert names(folder) == {"1", "2"}


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 MiB and 150 files."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=150", "tmpfs", str(disk)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount, check=False).returncode:
        pytest.skip("needs the right to mount a disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def leave(disk, room):
    """Fills the disk up to `room` bytes."""
    (disk / "filler").unlink(missing_ok=True)
    left = shutil.disk_usage(disk).free
    (disk / "filler").write_bytes(bytes(max(0, left - room)))


def save_3(checkpoints):
    """Step 3, which is larger than those before it: the room for them is not enough."""
    more = np.random.default_rng(3).standard_normal(300_000).astype(np.float32)
    state = state_of(3)._replace(ema={"more": jnp.asarray(more)})
    checkpoints.save(3, state, {"n": 3})
    checkpoints.close()
    return state


def full_disk(disk, rooms):
    """Fails to save in each of these rooms; how often a write failed that had been begun."""
    begun = 0
    save_steps(disk / "c", 1, 2)
    size = size_of(disk / "c" / "2")
    for room in rooms:
        leave(disk, int(room * size))
        checkpoints = Checkpoints(disk / "c", keep=9)
        assert bits(checkpoints.restore(state_of(0))[0]) == bits(state_of(2))
        with pytest.raises(OutputError) as error:
            save_3(checkpoints)
        begun += "/3: not saved (no space left on the device): the checkp" in str(error.value)
        checkpoints.close()
        assert {name for name in names(disk / "c") if name.isdigit()} == {"1", "2"}
    (disk / "filler").unlink()
    checkpoints = Checkpoints(disk / "c", keep=9)
    assert names(disk / "c") == {"1", "2"}
    checkpoints.restore(state_of(0))
    state = save_3(checkpoints)
    assert bits(checkpoints.restore(state)[0]) == bits(state)
    return begun


def test_a_full_disk(small_disk):
    """The save fails and the others stay, also in the next start; with room it goes on."""
    assert full_disk(small_disk, [1.0, 1.5]) == 1


def test_no_room_for_folders(small_disk):
    """Each failed save is told once, as the step that it was, and no thread waits for another."""
    save_steps(small_disk / "c", 1)
    checkpoints = Checkpoints(small_disk / "c", keep=9)
    checkpoints.resume(state_of(0))
    fillers = [small_disk / f"filler{n}" for n in range(150)]
    for left in (0, 1, 2, 4, 7, 11, 16):
        with contextlib.suppress(OSError):
            for filler in fillers:
                filler.touch()
        for filler in [path for path in fillers if path.exists()][:left]:
            filler.unlink()
        begin = time.monotonic()
        with pytest.raises(OutputError, match=r"/c/2: not saved \(no space left on the device\)"):
            save_2(checkpoints)
        assert time.monotonic() - begin < 20
    for filler in fillers:
        filler.unlink(missing_ok=True)
    save_2(checkpoints)
    checkpoints.close()
    assert names(small_disk / "c") == {"1", "2"}


def save_2(checkpoints):
    checkpoints.save(2, state_of(2), {"n": 2})
    checkpoints.wait()


@pytest.mark.slow
def test_full_disks(small_disk):
    """At ten points of a write."""
    rng = random.Random(2)
    assert full_disk(small_disk, [rng.uniform(1.25, 8) for _ in range(10)]) == 10


def killed(folder, count, seed, refused=None):
    """Kills runs while they save; how many left a half behind. Fails if a step is lost."""
    rng, saved, halves = random.Random(seed), -1, 0
    with subprocess.Popen(
        [sys.executable, CHILD, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    ) as runs:
        assert runs.stdin
        assert runs.stdout
        for _ in range(count):
            runs.stdin.write("run\n")
            runs.stdin.flush()
            process, left = 0, rng.randint(1, 3)
            for line in runs.stdout:
                word, number = line.split()
                assert word != "wrong", f"step {number} is not what was saved"
                if word == "pid":
                    process = int(number)
                elif word == "found":
                    assert int(number) >= saved
                elif word == "saved":
                    saved = int(number)
                elif word == "begun":
                    left -= 1
                    if left == 0:
                        if refused:
                            refused(process)
                        time.sleep(rng.uniform(0, 0.1))
                        os.kill(process, signal.SIGKILL)
                elif word == "ended":
                    break
            halves += any("tmp" in name for name in names(folder))
        runs.stdin.close()
    return halves


def test_3_kills(tmp_path):
    """Each run finds the last complete step; a second one is refused while it lives."""

    def refused(process):
        with pytest.raises(ConfigError, match=rf"another run writes here \(process {process} on"):
            Checkpoints(tmp_path, keep=2, patience=0)

    killed(tmp_path, 3, seed=0, refused=refused)
    Checkpoints(tmp_path, keep=2, patience=0).close()
    assert not [name for name in names(tmp_path) if not name.isdigit()]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_50_kills(tmp_path):
    """Many of them in the middle of a write."""
    halves = killed(tmp_path, 50, seed=1)
    assert halves >= 10
