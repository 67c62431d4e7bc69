"""launch/ranks.py with real processes: output, signals, deaths, exit codes, and real jax."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RANKS = Path(__file__).parents[2] / "launch" / "ranks.py"
STANDIN = Path(__file__).with_name("standin.py")
DEAF = "trap '' TERM INT; while :; do sleep 0.1; done"
SAVES = "trap 'sleep 0.3; exit 85' TERM; while :; do sleep 0.1; done"


def start(*options: str, command: list[str]) -> subprocess.Popen[str]:
    """The launcher, running."""
    return subprocess.Popen(
        [sys.executable, RANKS, *options, "--", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def shell(*options: str, script: str) -> tuple[int, str, str, float]:
    """Runs a script of bash in each rank, `$1` is its number: code, both outputs, seconds."""
    began = time.monotonic()
    running = start(*options, command=["bash", "-c", script, "bash", "{process}"])
    out, err = running.communicate(timeout=60)
    return running.returncode, out, err, time.monotonic() - began


def alive(mark: str) -> list[int]:
    """Processes whose environment holds a mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parts[2]))
        except OSError:
            continue
    return found


def test_each_line_says_its_rank_and_goes_where_it_came_from():
    script = "echo out; echo err >&2; printf 'no end'; sleep 0.2; printf ', now; %s' {processes}"
    code, out, err, _ = shell("-n", "3", script=script)
    assert code == 0
    assert sorted(out.splitlines()) == sorted(
        line for rank in range(3) for line in (f"[{rank}] out", f"[{rank}] no end, now; 3")
    )
    assert sorted(err.splitlines()) == [f"[{rank}] err" for rank in range(3)]


@pytest.mark.parametrize(
    ("codes", "told"),
    [
        ("0 0 0", 0),
        ("85 85 85", 85),
        ("0 85 0", 85),
        ("85 3 85", 3),
        ("70 70 70", 70),
        ("139 70 1", 70),  # who caused it tells more than who followed
        ("2 2 2", 2),
        ("0 0 9", 9),
        ("85 143 85", 143),  # somebody did not save
        ("143 9 143", 9),
    ],
)
def test_the_most_telling_code_is_the_code_of_the_whole(codes, told):
    code, *_ = shell("-n", "3", script=f"set -- $1 {codes}; shift $1; exit $2")
    assert code == told


def test_a_dead_rank_takes_down_the_deaf():
    script = f"if [ $1 = 1 ]; then sleep 1; kill -9 $$; fi; {DEAF}"
    code, _, err, seconds = shell("-n", "3", script=script)
    assert code == 137
    assert "rank 1 ended with 137: ending the others" in err
    assert "killing rank 0, 2" in err
    assert seconds < 1 + 15  # G12; in fact 5 seconds of patience


def test_others_may_save_after_one_has():
    """A rank that ends with 85 is no crash: the slower one is left alone."""
    script = "if [ $1 = 0 ]; then exit 85; fi; sleep 1; echo saved; exit 85"
    code, out, err, _ = shell(script=script)
    assert (code, out, err) == (85, "[1] saved\n", "")


def test_who_never_saves_is_ended_after_the_grace():
    script = f"if [ $1 = 0 ]; then exit 85; fi; {DEAF}"
    code, _, err, seconds = shell("--grace", "1", script=script)
    assert code == 137  # nothing that killed a rank may pass for saved
    assert "killing rank 1" in err
    assert seconds < 15


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_every_rank_once(number):
    name = number.name[3:]
    script = f"trap 'echo {name}' {name}; echo ready; for i in 1 2 3 4; do sleep 0.3; done; exit 85"
    running = start(command=["bash", "-c", script])
    ready = [running.stdout.readline() for _ in range(2)]  # type: ignore[union-attr]
    assert all("ready" in line for line in ready)
    running.send_signal(number)
    out, _ = running.communicate(timeout=30)
    assert running.returncode == 85
    assert sorted(out.splitlines()) == [f"[0] {name}", f"[1] {name}"]


def test_nothing_outlives_a_launcher_that_is_killed():
    mark = f"MARK=launcher-{os.getpid()}"
    command = ["env", mark, "bash", "-c", f"echo ready; {SAVES}"]
    running = start(command=command)
    for _ in range(2):
        running.stdout.readline()  # type: ignore[union-attr]
    assert len(alive(mark)) >= 2
    running.kill()
    running.communicate()
    for _ in range(50):
        if not alive(mark):
            break
        time.sleep(0.1)
    assert not alive(mark)


def test_workers_end_with_their_rank():
    mark = f"MARK=worker-{os.getpid()}"
    code, *_ = shell(script=f"{mark} sleep 100 & exit 0")
    assert code == 0
    assert not alive(mark)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--", "no-such-program"], 4, "no-such-program does not start: No such file"),
        (["-n", "0", "--", "true"], 2, "at least one process"),
        ([], 2, "name a command after --"),
        (["--gpus", "-n", "3", "--", "true"], 2, "CUDA_VISIBLE_DEVICES names 2"),
    ],
)
def test_what_cannot_start_is_told_in_one_line(words, code, said):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "4,7"}
    command = [sys.executable, RANKS, *words]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ran.returncode == code
    assert said in ran.stderr.splitlines()[-1]


def test_each_rank_has_a_gpu_of_those_that_are_visible():
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "4,7"}
    command = [sys.executable, RANKS, "--gpus", "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES"]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert sorted(ran.stdout.splitlines()) == ["[0] 4", "[1] 7"]


def standin(out: Path, *flags: str) -> list[str]:
    """The command of a run whose processes are connected by jax."""
    return [
        *(sys.executable, str(STANDIN), "train", "e", "--data", "d", "--out", str(out)),
        *("--resume", "auto", "--coordinator", "{coordinator}", "--processes", "{processes}"),
        *("--process", "{process}", "--jax", *flags),
    ]


def test_jax_connects_saves_together_and_goes_on(tmp_path):
    """Two processes of two devices agree on the step at which SIGTERM makes them save."""
    began = time.monotonic()
    running = start("--devices", "2", command=standin(tmp_path, "--steps", "1000"))
    while "begins" not in (line := running.stdout.readline()):  # type: ignore[union-attr]
        assert line, running.communicate()[1]
    print(f"connected after {time.monotonic() - began:.1f} s")
    time.sleep(0.5)
    term = time.monotonic()
    running.send_signal(signal.SIGTERM)
    out, _ = running.communicate(timeout=60)
    print(f"SIGTERM to exit: {time.monotonic() - term:.1f} s")
    assert running.returncode == 85
    steps = {int(step) for step in re.findall(r"saved (\d+)", out)}
    assert len(steps) == 1
    assert time.monotonic() - term < 10
    last = steps.pop()
    running = start("--devices", "2", command=standin(tmp_path, "--steps", str(last + 3)))
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    assert out.count(f"begins at {last}") == 2


def test_jax_that_waits_for_a_dead_rank_is_ended(tmp_path):
    """Bare jax notices after more than a minute."""
    running = start("--devices", "1", command=standin(tmp_path, "--fail", "1:5:-9"))
    out, err = running.communicate(timeout=60)
    ended = time.monotonic()
    died = (tmp_path / "failed-1").stat().st_mtime
    seconds = time.time() - (time.monotonic() - ended) - died
    print(f"death to the end of all: {seconds:.1f} s")
    assert running.returncode == 137, out + err
    assert seconds < 15


def test_the_launcher_runs_the_program_in_every_process(launch, tmp_path):
    ran = launch("local.sh", PROCESSES="3", flags=("--steps", "4", "--seconds", "0"))
    assert ran.code == 0, ran.err
    assert sorted(ran.out.splitlines()) == sorted(
        line for rank in range(3) for line in (f"[{rank}] begins at 0", f"[{rank}] done")
    )
    ran = launch("local.sh", flags=("--steps", "9", "--seconds", "0", "--fail", "1:6:70!"))
    assert ran.code == 70
    assert "[1] begins at 4" in ran.out
    assert launch("local.sh", OUT=str(tmp_path / "new"), RESUME="must").code == 2
