"""launch/sky.yaml: its fields are those of SkyPilot, and its script runs here on two "nodes".

The fields are facts of SkyPilot 0.14 (docs/source/reference/yaml-spec.rst). Where SkyPilot itself
is installed, it reads the file as well.
"""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TASK = yaml.safe_load((ROOT / "launch" / "sky.yaml").read_text())
TOP = {
    "name",
    "workdir",
    "num_nodes",
    "resources",
    "envs",
    "secrets",
    "file_mounts",
    "setup",
    "run",
}
RESOURCES = {
    *("infra", "accelerators", "accelerator_args", "cpus", "memory", "instance_type", "use_spot"),
    *("disk_size", "disk_tier", "network_tier", "image_id", "ports", "labels", "autostop"),
    *("any_of", "ordered", "job_recovery"),
}
RECOVERY = {"strategy", "max_restarts_on_errors", "recover_on_exit_codes"}


def test_fields_are_those_of_skypilot():
    assert TASK.keys() <= TOP
    assert TASK["resources"].keys() <= RESOURCES
    assert TASK["resources"]["job_recovery"].keys() <= RECOVERY
    assert TASK["resources"]["job_recovery"]["recover_on_exit_codes"] == [85]
    for mount in TASK["file_mounts"].values():
        assert mount.keys() <= {"name", "source", "mode", "store", "persistent", "config"}
        assert mount["mode"] in ("MOUNT", "COPY", "MOUNT_CACHED")
    assert all(value is None or isinstance(value, str) for value in TASK["envs"].values())


def test_what_the_launcher_sets_is_what_the_task_expects(launch):
    names = {"NAME": "slakh", "BUCKET": "gs://bucket"}
    words = launch("sky.sh", "--dry-run", **names).out.split()
    given = {words[at + 1].split("=")[0] for at, word in enumerate(words) if word == "--env"}
    assert given >= {name for name, value in TASK["envs"].items() if value is None}
    assert given <= TASK["envs"].keys()


def test_skypilot_reads_it():
    sky = pytest.importorskip("sky")
    given = [(name, "x") for name, value in TASK["envs"].items() if value is None]
    given = [(name, "gs://x" if name == "BUCKET" else value) for name, value in given]
    task = sky.Task.from_yaml_config(TASK, env_overrides=given)
    assert task.envs["MAX_CRASHES"] == "3"


@pytest.fixture
def node(tmp_path, standin):
    """Runs the task's script as node `rank` of two, with the bucket in a folder."""
    bucket = tmp_path / "bucket"
    script = TASK["run"].replace("/bucket", str(bucket)).replace(".venv/bin/gmsdi", "gmsdi")

    def run(rank: int, *flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
        given = {
            **{name: value or "" for name, value in TASK["envs"].items()},
            **{"EXPERIMENT": "e.py", "DATA": "d", "OUT": f"{bucket}/out", "RUN": "slakh"},
            **{"SKYPILOT_NODE_IPS": "10.0.0.7\n10.0.0.8", "SKYPILOT_NUM_NODES": "2"},
            **{"SKYPILOT_NODE_RANK": str(rank), "FLAGS": "\n".join(flags), **variables},
            "PATH": f"{standin}:{os.environ['PATH']}",
        }
        return subprocess.run(
            ["bash", "-c", script], env=given, cwd=ROOT, capture_output=True, text=True
        )

    return run


def test_the_nodes_are_told_where_the_first_one_is(node, standin):
    (standin / "gmsdi").write_text('#!/bin/sh\nfor word; do echo "$word"; done\n')
    ran = node(1, "--note", "two words", RESUME="must")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[1:] == [
        *("e.py", "--data", "d", "--out", ran.stdout.splitlines()[5], "--resume", "must"),
        *("--coordinator", "10.0.0.7:8476", "--processes", "2", "--process", "1"),
        *("--note", "two words"),
    ]


@pytest.mark.parametrize("code", [2, 4, 70, 85, 130])
def test_codes_that_mean_something_pass(node, code):
    assert node(0, "--fail", f"0:3:{code}!", "--seconds", "0").returncode == code


def test_sigterm_while_it_starts_is_a_preemption(node):
    assert node(0, "--fail", "0:3:143!", "--seconds", "0", MAX_CRASHES="0").returncode == 85


def test_crashes_come_again_some_times(node):
    flags = ("--fail", "0:3:-9!", "--seconds", "0")
    ran = [node(0, *flags, MAX_CRASHES="2") for _ in range(3)]
    assert [one.returncode for one in ran] == [85, 85, 137]
    assert "crash 3 with 137 (MAX_CRASHES=2)" in ran[-1].stderr
