"""Real processes that share a global batch: the same examples for any number of them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gmsdi_jax.data import Settings, WholeTrack, write_split

SCRIPT = Path(__file__).with_name("process_batches.py")
WINDOW, BATCH = 3072, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """13 tracks, 60 odd records: an epoch is no whole number of batches."""
    rng = np.random.default_rng(0)
    tracks = []
    for number in range(13):
        stems = 0.1 * rng.standard_normal((4, 9000 + 800 * number)).astype(np.float32)
        stems[rng.random(4) < 0.5] = 0
        stems[number % 4, ::3] = 0.1
        tracks.append(WholeTrack(f"T{number}", stems))
    out = tmp_path_factory.mktemp("data") / "train"
    labels = ("Bass", "Drums", "Guitar", "Piano")
    write_split(out, Settings(labels, chunk=2048, hop=256), tracks)
    return out


def rows(folder, processes, first, last):
    """All rows of the global batches from `processes` processes that run at once, in order."""
    running = [
        subprocess.Popen(
            [sys.executable, SCRIPT, folder]
            + [str(n) for n in (WINDOW, BATCH, process, processes, first, last)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for process in range(processes)
    ]
    lines = [line for process in running for line in process.communicate()[0].splitlines()]
    assert all(process.returncode == 0 for process in running)
    found = {(int(b), int(r)): digest for b, r, digest in (line.split() for line in lines)}
    assert len(lines) == len(found) == BATCH * (last - first)
    return [found[key] for key in sorted(found)]


@pytest.mark.parametrize(
    ("batches", "counts"), [(60, (1, 2)), pytest.param(1000, (1, 2, 4), marks=pytest.mark.slow)]
)
def test_global_batches_do_not_depend_on_the_number_of_processes(folder, batches, counts):
    """Nor does going on in the middle of an epoch, also with another number of processes."""
    whole = rows(folder, counts[0], 0, batches)
    assert len(set(whole)) == len(whole)  # no two examples are the same
    for processes in counts[1:]:
        assert rows(folder, processes, 0, batches) == whole
    middle = batches // 2 + 3
    for processes in counts:
        assert rows(folder, processes, middle, batches) == whole[BATCH * middle :]
