"""Preparation that is stopped, killed, run twice: the shards are the same bytes in the end."""

import hashlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from data_pipelines.corpus import Plan, SourceAudio
from data_pipelines.prepare import Cut, locked, prepare
from gmsdi_jax.data import open_split
from gmsdi_jax.errors import ConfigError, InputError, OutputError

CUT = Cut(chunk=4096, hop=256, tracks_per_shard=2)


class Noise:
    """A source that needs no file; it counts how often it was read, and can fail or take time."""

    labels = ()

    def __init__(self, name, log=None, fail=False, seconds=0.0, length=9000):
        self.name, self.log, self.fail = name, log, fail
        self.seconds, self.length = seconds, length

    def read(self, sample_rate):
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{self.name}\n")
        time.sleep(self.seconds)
        if self.fail:
            raise InputError(f"{self.name} is damaged\nin two lines")
        rng = np.random.default_rng(sum(map(ord, self.name)))
        stems = 0.1 * rng.standard_normal((2, self.length)).astype(np.float32)
        return SourceAudio(stems)


def plan_of(sources, split="train"):
    return {split: Plan(split, ("Bass", "Drums"), "window", tuple(sources), "by hand", ("T99",))}


def contents(folder):
    """The checksum of every file, hidden ones as well."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_a_second_run_reads_nothing(tmp_path):
    log = tmp_path / "log"
    plans = plan_of(Noise(f"T{n}", log) for n in range(5))
    first = prepare(plans, tmp_path / "out", CUT, jobs=1)
    assert len(log.read_text().split()) == 5
    assert prepare(plans, tmp_path / "out", CUT, jobs=1) == first
    assert len(log.read_text().split()) == 5
    assert first["train"].arrangement == "by hand"
    assert first["train"].missing == ("T99",)


def test_finished_shards_of_a_stopped_run_are_kept(tmp_path):
    log = tmp_path / "log"
    sources = [Noise(f"T{n}", log) for n in range(6)]

    def stop(step):
        if step.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(plan_of(sources), tmp_path / "out", CUT, jobs=1, on_progress=stop)
    assert not (tmp_path / "out/train/manifest.json").exists()
    steps = []
    prepare(plan_of(sources), tmp_path / "out", CUT, jobs=1, on_progress=steps.append)
    assert log.read_text().split() == [f"T{n}" for n in range(6)]  # each once
    assert [step.done for step in steps] == [2, 4, 6]
    prepare(plan_of(sources), tmp_path / "whole", CUT, jobs=1)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_damaged_track_is_tried_again_by_the_next_run_of_an_unfinished_split(tmp_path):
    def stop(step):
        raise KeyboardInterrupt

    bad = [Noise("T0", fail=True), Noise("T1"), Noise("T2"), Noise("T3")]
    with pytest.raises(KeyboardInterrupt):
        prepare(plan_of(bad), tmp_path / "out", CUT, jobs=1, on_progress=stop)
    mended = prepare(plan_of(map(Noise, ["T0", "T1", "T2", "T3"])), tmp_path / "out", CUT, jobs=1)
    assert mended["train"].damaged == {}
    assert len(mended["train"].tracks) == 4


def test_damage_is_one_line_per_track_and_the_rest_is_made(tmp_path):
    sources = [Noise("T0"), Noise("T1", fail=True), Noise("T2", length=0), Noise("T3")]
    steps = []
    made = prepare(plan_of(sources), tmp_path, CUT, jobs=1, on_progress=steps.append)["train"]
    assert made.damaged == {"T1": "T1 is damaged in two lines", "T2": "T2 is empty"}
    assert [sorted(step.skipped) for step in steps] == [["T1"], ["T2"]]
    assert [track.name for track in open_split(tmp_path / "train", verify=True).tracks()] == [
        "T0",
        "T3",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"hop": 512}, "hop 256, now 512"), ({"sample_rate": 8000}, "sample_rate")],
)
def test_other_settings_are_refused_and_nothing_is_lost(tmp_path, change, message):
    plans = plan_of([Noise("T0"), Noise("T1")])
    prepare(plans, tmp_path, CUT, jobs=1)
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match=message):
        prepare(plans, tmp_path, Cut(**{**vars(CUT), **change}), jobs=1)
    with pytest.raises(ConfigError, match="1 more, 0 less"):
        prepare(plan_of(map(Noise, ["T0", "T1", "T2"])), tmp_path, CUT, jobs=1)
    assert contents(tmp_path) == before


def test_two_runs_do_not_write_into_one_folder(tmp_path):
    with locked(tmp_path), pytest.raises(OutputError, match="another process"):
        prepare(plan_of([Noise("T0")]), tmp_path, CUT, jobs=1)
    prepare(plan_of([Noise("T0")]), tmp_path, CUT, jobs=1)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        prepare(plan_of([Noise("T0")]), tmp_path / "file", CUT, jobs=1)


SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}, {root!r}]
from test_prepare import CUT, Noise, plan_of
from data_pipelines.prepare import prepare
if __name__ == "__main__":
    sources = [Noise(f"T{{n}}", seconds=0.05) for n in range(int(sys.argv[3]))]
    prepare(plan_of(sources), Path(sys.argv[1]), CUT, jobs=int(sys.argv[2]))
"""


@pytest.fixture
def script(tmp_path, request):
    path = tmp_path / "script.py"
    here = str(request.path.parent)
    path.write_text(SCRIPT.format(tests=here, root=str(request.config.rootpath)))
    return path


def killed(command, out, rng):
    """Starts a run, kills it a random moment after its next shard; whether it had ended."""
    process = subprocess.Popen(command)
    before = len(list(out.glob("train/.report-*")))
    started = time.monotonic()
    while process.poll() is None and time.monotonic() - started < 100:
        if len(list(out.glob("train/.report-*"))) > before:
            time.sleep(rng.uniform(0, 0.12))
            break
        time.sleep(0.005)
    children = (
        psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    )
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, "workers outlive their parent"
    return process.returncode == 0


@pytest.mark.parametrize(("jobs", "kills"), [(1, 3), pytest.param(2, 20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_and_run_again_the_output_is_the_same(
    script, tmp_path, jobs, kills
):
    rng, out, done = random.Random(0), tmp_path / "out", 0
    command, tracks = [sys.executable, str(script)], str(12 * kills)
    for _ in range(kills):
        done += not killed([*command, str(out), str(jobs), tracks], out, rng)
    assert done == kills
    for folder in (out, tmp_path / "whole"):
        subprocess.run([*command, str(folder), "1", tracks], check=True)
    assert contents(out) == contents(tmp_path / "whole")
    open_split(out / "train", verify=True)
