"""The bench that judges trainings is itself to be trusted: each of its means, on closed cases."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from reliability import page
from reliability.bench import Outcome, committed, going, last_step, leftovers, marked
from reliability.gates import GATES

WRITES = """
import os, sys
for n in range(400):
    try:
        with open(f"{sys.argv[1]}/{n}", "w") as file:
            file.write("x")
    except OSError as error:
        print(n, error.errno)
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    if not shutil.which("cc"):
        pytest.skip("needs a C compiler")
    made = tmp_path_factory.mktemp("shim") / "flaky.so"
    source = Path(__file__).with_name("flaky.c")
    command = ["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", made, source, "-ldl", "-pthread"]
    subprocess.run(command, check=True)
    return made


def failures(shim, folder, seed):
    """Which of 400 writes failed, and how."""
    environment = {"LD_PRELOAD": str(shim), "FLAKY_UNDER": str(folder), "FLAKY_SEED": seed}
    command = [sys.executable, "-S", "-c", WRITES, folder]
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout


def test_calls_fail_now_and_then_by_the_seed(shim, tmp_path):
    """Of 800 calls about 8 fail, with EIO or ESTALE; the same seed fails the same calls."""
    under = tmp_path / "under"
    under.mkdir()
    first = failures(shim, under, "1")
    lines = [line.split() for line in first.splitlines()]
    assert 1 <= len(lines) <= 25
    assert {number for _, number in lines} <= {"5", "116"}
    shutil.rmtree(under)
    under.mkdir()
    assert failures(shim, under, "1") == first != failures(shim, under, "2")


def test_other_folders_are_left_alone(shim, tmp_path):
    environment = {"LD_PRELOAD": str(shim), "FLAKY_UNDER": str(tmp_path / "elsewhere")}
    command = [sys.executable, "-S", "-c", WRITES, tmp_path]
    assert subprocess.run(command, env=environment, capture_output=True).stdout == b""


def test_a_run_is_read_from_its_folder(tmp_path):
    """Complete checkpoints, what lies beside them, and whole lines alone."""
    assert (committed(tmp_path), last_step(tmp_path)) == (0, 0)
    for name in ("5", "10", ".lock", "15.orbax-checkpoint-tmp", "3.bad"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert committed(tmp_path) == 10
    assert set(leftovers(tmp_path)) == {"15.orbax-checkpoint-tmp", "3.bad"}
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"step": 3')
    assert last_step(tmp_path) == 2


def test_the_step_that_a_start_goes_on_from_is_seen(tmp_path):
    """The metrics are cut off there, and grow again."""
    lines = [json.dumps({"step": n}) + "\n" for n in range(1, 10)]
    (tmp_path / "metrics.jsonl").write_text("".join(lines[:8]))
    script = (
        "import sys, time; time.sleep(.3); p = sys.argv[1]; t = open(p).readlines()\n"
        "open(p, 'w').writelines(t[:5]); time.sleep(.3)\n"
        "open(p, 'a').write(t[5]); time.sleep(9)"
    )
    command = [sys.executable, "-S", "-c", script, tmp_path / "metrics.jsonl"]
    process = subprocess.Popen(command, text=True)
    assert going(process, tmp_path) == 5
    process.kill()
    process.wait()
    assert going(process, tmp_path) is None


def test_processes_are_found_by_their_mark():
    with marked() as (mark, alive):
        process = subprocess.Popen(["sleep", "30"], env=mark)
        assert alive() == [process.pid]
        process.kill()
        process.wait()
        assert alive() == []


def test_a_row_replaces_the_one_before_and_the_prose_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    page.PAGE.write_text(f"# Title\n\n{page.HEAD}\n{page.RULE}\n\n## After\n")
    for name, result in (("G10", "a"), ("G2.1", "b"), ("G1", "c | d"), ("G2.1", "e")):
        page.write_page(page.Row(name, "what", Outcome(result != "a", "done", result), 1.0))
    text = page.PAGE.read_text()
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| G")][1:]
    assert [row[0] for row in rows] == ["| G1", "| G2.1", "| G10"]
    assert [row[4] for row in rows] == ["c / d", "e", "a"]
    assert [row[2] for row in rows] == ["yes", "yes", "**no**"]
    assert text.startswith("# Title\n\n| Gate")
    assert text.endswith("\n\n## After\n")


def test_each_gate_has_a_name_of_its_own_and_the_page_knows_no_other():
    names = [gate.name for gate in GATES]
    assert len(set(names)) == len(names)
    body = Path(__file__).parents[2].joinpath("docs/reliability.md").read_text()
    rows = [line.split(" | ") for line in body.splitlines() if line.startswith("| G")]
    told = {row[0].removeprefix("| "): row[1] for row in rows} | {}
    told.pop("Gate")
    assert told.items() <= {gate.name: gate.what for gate in GATES}.items()
