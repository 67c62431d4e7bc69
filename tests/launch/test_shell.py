"""The shell of the launchers: clean, without evaluation, and of one mind about exit codes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

LAUNCH = Path(__file__).parents[2] / "launch"
SCRIPTS = sorted([*LAUNCH.glob("*.sh"), *LAUNCH.glob("*.sbatch")])
SHELLCHECK = Path(sys.executable).with_name("shellcheck")
FINAL = {2, 4, 70, 130}


def sky_parts() -> dict[str, str]:
    """The scripts in sky.yaml."""
    task = yaml.safe_load((LAUNCH / "sky.yaml").read_text())
    return {part: "#!/usr/bin/env bash\n" + task[part] for part in ("setup", "run")}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_clean(path):
    subprocess.run(["bash", "-n", path], check=True)
    ran = subprocess.run([SHELLCHECK, "-x", path], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("part", ["setup", "run"])
def test_the_scripts_in_sky_yaml_are_clean(part, tmp_path):
    path = tmp_path / part
    path.write_text(sky_parts()[part])
    command = [SHELLCHECK, "-x", "-P", LAUNCH.parent, path]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


def test_nothing_evaluates_or_takes_more_rights_than_it_needs():
    for path in LAUNCH.rglob("*"):
        if not path.is_file() or path.suffix == ".pyc":
            continue
        code = [line.split(" #")[0] for line in path.read_text().splitlines()]
        text = "\n".join(line for line in code if not line.lstrip().startswith("#"))
        for word in (r"\beval\b", r"\bprivileged\b", "hostNetwork", "shell=True", r"\bsudo\b"):
            assert not re.search(word, text) or path.name == "README.md", (path, word)


def test_everything_agrees_on_the_exit_codes():
    """What is not run again is the same on every platform and in the table of the README."""
    texts = {
        name: (LAUNCH / name).read_text() for name in ("slurm.sbatch", "tpu_vm.sh", "sky.yaml")
    }
    assert "  85) requeue" in texts["slurm.sbatch"]
    assert "  143) requeue" in texts["slurm.sbatch"]
    (codes,) = re.findall(r"^  ([\d |]+)\) say \"ended", texts["slurm.sbatch"], re.MULTILINE)
    assert {int(code) for code in codes.split(" | ")} == FINAL
    codes = re.findall(r"'exited (\d+)'", texts["tpu_vm.sh"])
    assert {int(code) for code in codes} == FINAL | {0, 85, 143}
    (codes,) = re.findall(r"^ +([\d |]+\|[\d |]+)\) exit", texts["sky.yaml"], re.MULTILINE)
    assert {int(code) for code in codes.split(" | ")} == FINAL | {0, 85}
    jobset = yaml.safe_load((LAUNCH / "gke" / "jobset.yaml").read_text())
    (group,) = jobset["spec"]["replicatedJobs"]
    rules = group["template"]["spec"]["podFailurePolicy"]["rules"]
    assert set(rules[0]["onExitCodes"]["values"]) == FINAL | {85, 143}
    ranks = (LAUNCH / "ranks.py").read_text()
    (codes,) = re.findall(r"^FINAL = \((.*)\)", ranks, re.MULTILINE)
    assert {int(code) for code in codes.split(", ")} == FINAL
    rows = re.findall(
        r"^\| (\d+) \|.*\| (.*) \|$", (LAUNCH / "README.md").read_text(), re.MULTILINE
    )
    assert {int(code) for code, then in rows if then == "stays down"} == FINAL
    assert {int(code) for code, then in rows if "however" in then} == {85, 143}


def test_the_readme_names_every_launcher_and_no_other():
    text = (LAUNCH / "README.md").read_text()
    for path in LAUNCH.iterdir():
        if path.suffix in (".sh", ".py", ".sbatch", ".yaml"):
            assert path.name in text
    for name in set(re.findall(r"launch/([\w./]+\.\w+)", text)):
        assert (LAUNCH / name).exists(), name
