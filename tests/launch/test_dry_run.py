"""--dry-run of every launcher: what it prints, what it refuses, and that it touches nothing.

The expected output is golden/NAME.txt. Where a launcher changes on purpose, `GOLDEN=write pytest`
writes them anew, for the eye to compare.
"""

import contextlib
import os
import re
import shlex
from pathlib import Path

import pytest

from gmsdi_jax.cli import main

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
RUN = {"DATA": "gs://bucket/data", "OUT": "gs://bucket/out"}
FILES = {"DATA": "/data/slakh", "OUT": "/runs/slakh"}
GKE = {"NAME": "slakh", "IMAGE": "images/gmsdi:1", "HOSTS": "4"}
TPU = {"NAME": "slakh", "ZONE": "us-west4-a", "TYPE": "v5litepod-16", "RUNTIME": "v2-alpha"}
SKY = {"NAME": "slakh", "BUCKET": "gs://bucket", "DATA": "/bucket/data", "OUT": "/bucket/out"}
SETTINGS = {"XLA_FLAGS": "--xla_a=1 --xla_b=2", "WANDB_MODE": "offline"}
FLAGS = ("--steps", "1000", "--note", "it's one")
CASES = {
    "local_cpu": ("local.sh", [], {**FILES, "DEVICES": "4"}),
    "local_gpu": ("local.sh", [], {**FILES, "DEVICE": "gpu", "PROCESSES": "2"}),
    "slurm_cpu": ("slurm.sh", [], {**FILES, "NODES": "2"}),
    "slurm_gpu": (
        "slurm.sh",
        [],
        {
            **{**FILES, "NODES": "4", "GPUS": "8", "CPUS": "12", "TIME_LIMIT": "04:00:00"},
            **{"GRACE": "120", "PARTITION": "gpu", "ACCOUNT": "music", "QOS": "low"},
            **{"JOB_NAME": "slakh", "LOG": "logs/%j.out", "MAX_CRASHES": "0"},
        },
    ),
    "slurm_node_container": (
        "slurm.sh",
        [],
        {
            **{**FILES, "NODES": "4", "GPUS": "8", "TASKS": "node", "IMAGE": "gmsdi.sqsh"},
            **{"MOUNTS": "/data:/data"},
        },
    ),
    "tpu_watch": ("tpu_vm.sh", ["watch"], {**RUN, **TPU, **SETTINGS}),
    "tpu_create_slices": (
        "tpu_vm.sh",
        ["create"],
        {**TPU, "SLICES": "2", "SPOT": "0", "PROJECT": "p", "SERVICE_ACCOUNT": "a@b"},
    ),
    "tpu_wait": ("tpu_vm.sh", ["wait"], TPU),
    "tpu_run": ("tpu_vm.sh", ["run"], {**RUN, **TPU, "WANDB_KEY_FROM": "wandb"}),
    "tpu_status": ("tpu_vm.sh", ["status"], TPU),
    "tpu_logs": ("tpu_vm.sh", ["logs"], TPU),
    "tpu_stop": ("tpu_vm.sh", ["stop"], TPU),
    "tpu_delete": ("tpu_vm.sh", ["delete"], TPU),
    "gke_tpu": (
        "gke.sh",
        [],
        {
            **{**RUN, **GKE, **SETTINGS, "KIND": "tpu", "TOPOLOGY": "4x4", "SLICES": "2"},
            **{"ACCELERATOR": "tpu-v5-lite-podslice", "SPOT": "1", "QUEUE": "music"},
        },
    ),
    "gke_gpu": (
        "gke.sh",
        [],
        {
            **{**RUN, **GKE, "KIND": "gpu", "ACCELERATOR": "nvidia-h100-80gb"},
            **{"WANDB_KEY_FROM": "wandb", "NAMESPACE": "music"},
        },
    ),
    "sky": ("sky.sh", [], {**SKY, **SETTINGS, "NODES": "2", "INFRA": "gcp", "RESUME": "must"}),
}
LAUNCHERS = {case[0]: case for case in CASES.values()}  # one case of each
NEEDED = {
    "local.sh": ["EXPERIMENT", "DATA", "OUT"],
    "slurm.sh": ["EXPERIMENT", "DATA", "OUT", "NODES"],
    "tpu_vm.sh": ["EXPERIMENT", "DATA", "OUT", "NAME", "ZONE", "TYPE", "RUNTIME"],
    "gke.sh": ["EXPERIMENT", "DATA", "OUT", "NAME", "IMAGE", "KIND", "ACCELERATOR", "HOSTS"],
    "sky.sh": ["EXPERIMENT", "DATA", "OUT", "NAME", "BUCKET"],
}


@pytest.mark.parametrize("case", CASES)
def test_it_prints_what_it_would_run(launch, case):
    name, words, variables = CASES[case]
    flags = FLAGS if name != "tpu_vm.sh" or words[0] in ("watch", "run") else ()
    ran = launch(name, *words, "--dry-run", flags=flags, **variables)
    assert ran.code == 0, ran.err
    text = re.sub(r"\b[0-9a-f]{40}\b", "COMMIT", ran.out)
    path = GOLDEN / f"{case}.txt"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("name", NEEDED)
def test_every_variable_that_is_missing_is_named(launch, name):
    """All at once where nothing is set, and each for itself."""
    _, words, variables = LAUNCHERS[name]
    words = ["watch"] if name == "tpu_vm.sh" else words
    variables = {**RUN, **TPU, **variables} if name == "tpu_vm.sh" else variables
    for missing in NEEDED[name]:
        ran = launch(name, *words, "--dry-run", **{**variables, missing: None})
        assert ran.code == 2
        assert not ran.out
        (line,) = [line for line in ran.err.splitlines() if "not set" in line]
        assert line == f"{name}: not set: {missing} (see {name} --help)"


def test_all_that_is_missing_is_named_at_once(launch):
    nothing = dict.fromkeys(("EXPERIMENT", "DATA", "OUT"))
    ran = launch("slurm.sh", "--dry-run", **nothing)
    assert "not set: EXPERIMENT DATA OUT NODES" in ran.err


@pytest.mark.parametrize("name", NEEDED)
def test_help_names_every_variable(launch, name):
    ran = launch(name, "--help")
    assert ran.code == 0
    assert f"launch/{name}" in ran.out
    for variable in NEEDED[name]:
        assert re.search(rf"\b{variable}\b", ran.out), variable


@pytest.mark.parametrize("name", NEEDED)
def test_an_option_that_is_none_is_refused(launch, name):
    ran = launch(name, "--steps", "3")
    assert ran.code == 2
    assert "--steps is no option of this launcher" in ran.err


@pytest.mark.parametrize(
    ("name", "variables", "said"),
    [
        ("local.sh", {"PROCESSES": "0"}, "PROCESSES=0 is not a whole number from 1 on"),
        ("local.sh", {"DEVICES": "2x"}, "DEVICES=2x"),
        ("local.sh", {"DEVICE": "tpu"}, "DEVICE=tpu is not one of: cpu gpu"),
        ("slurm.sh", {"NODES": "-1"}, "NODES=-1"),
        ("slurm.sh", {"NODES": "2", "TASKS": "core"}, "TASKS=core is not one of: gpu node"),
        ("slurm.sh", {"NODES": "2", "MAX_CRASHES": "many"}, "MAX_CRASHES=many"),
        ("tpu_vm.sh", {**TPU, "POLL": "soon"}, "POLL=soon"),
        ("tpu_vm.sh", {**TPU, "SPOT": "yes"}, "SPOT=yes is not one of: 0 1"),
        ("sky.sh", {**SKY, "NODES": "two"}, "NODES=two"),
    ],
)
def test_what_cannot_be_is_refused_by_name(launch, name, variables, said):
    words = ["watch"] if name == "tpu_vm.sh" else []
    ran = launch(name, *words, "--dry-run", **variables)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


NUMBERS = {
    "local.sh": ["PROCESSES", "DEVICES", "GRACE"],
    "slurm.sh": ["NODES", "GPUS", "CPUS", "GRACE", "SETTLE", "MAX_CRASHES"],
    "tpu_vm.sh": ["SLICES", "POLL", "MAX_CRASHES", "MAX_FAILURES"],
    "gke.sh": ["HOSTS", "SLICES", "CHIPS", "GRACE", "MAX_CRASHES"],
    "sky.sh": ["NODES", "MAX_CRASHES"],
}


@pytest.mark.parametrize("name", NUMBERS)
def test_no_arithmetic_runs_a_command(launch, name, tmp_path):
    """Bash evaluates the value of a variable in arithmetic: x[$(command)] runs the command."""
    _, words, variables = LAUNCHERS[name]
    for number in NUMBERS[name]:
        odd = f"x[$(touch {tmp_path}/touched)]"
        ran = launch(name, *words, "--dry-run", **{**variables, number: odd})
        assert ran.code == 2, number
        assert f"{number}=" in ran.err
        assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("name", NEEDED)
def test_nothing_is_evaluated(launch, name, tmp_path):
    """A command in a value stays a value, and what is printed reads back as it was."""
    _, words, variables = LAUNCHERS[name]
    words = ["watch"] if name == "tpu_vm.sh" else words
    variables = {**RUN, **TPU, **variables} if name == "tpu_vm.sh" else variables
    odd = f"'$(touch {tmp_path}/touched)' \"`touch {tmp_path}/touched`\"; touch {tmp_path}/touched"
    ran = launch(name, *words, "--dry-run", flags=("--note", odd), **{**variables, "DATA": odd})
    assert ran.code == 0, ran.err
    assert not (tmp_path / "touched").exists()
    if name in ("local.sh", "slurm.sh"):
        assert shlex.split(ran.out.splitlines()[0]).count(odd) == 2
    if name == "sky.sh":
        assert f"DATA={odd}" in shlex.split(ran.out)
    if name == "tpu_vm.sh":  # once more on the other side of ssh
        (line,) = [line for line in ran.out.splitlines() if "tpu_worker.sh start" in line]
        (there,) = [word for word in shlex.split(line) if word.startswith("--command=")]
        assert shlex.split(there).count(odd) == 2


@pytest.mark.parametrize("name", NEEDED)
def test_a_secret_in_a_flag_is_refused(launch, name):
    _, words, variables = LAUNCHERS[name]
    words = ["watch"] if name == "tpu_vm.sh" else words
    variables = {**RUN, **TPU, **variables} if name == "tpu_vm.sh" else variables
    for flags, more in ((("--key=hidden-7", "x"), {}), ((), {"OUT": "/runs/hidden-7"})):
        ran = launch(
            name, *words, "--dry-run", flags=flags, HF_TOKEN="hidden-7", **{**variables, **more}
        )
        assert (ran.code, ran.out) == (2, "")
        assert "the value of HF_TOKEN stands in the command" in ran.err
        assert "hidden-7" not in ran.err


def test_a_dry_run_calls_no_program_of_a_cluster(launch, standin, tmp_path):
    for program in ("sbatch", "gcloud", "kubectl", "sky", "gmsdi", "nvidia-smi"):
        (standin / program).write_text(f"#!/bin/sh\ntouch {tmp_path}/called")
        (standin / program).chmod(0o755)
    for name, words, variables in CASES.values():
        assert launch(name, *words, "--dry-run", **variables).code == 0
    assert not (tmp_path / "called").exists()


def test_gmsdi_knows_the_flags_that_are_set(capsys):
    """launch/env.sh writes flags as text: here they are held against those of the program."""
    with contextlib.suppress(SystemExit):
        main(["train", str(ROOT / "experiments" / "minislakh_tiny.py"), "--help"])
    known = set(re.findall(r"--[a-z][\w.-]*", capsys.readouterr().out))
    for case in ("local_cpu", "slurm_cpu"):
        words = shlex.split((GOLDEN / f"{case}.txt").read_text())
        command = words[words.index("gmsdi") : words.index("--steps")]
        assert {word for word in command if word.startswith("--")} <= known
