"""launch/slurm.sh and slurm.sbatch on a real SLURM of two nodes on this machine.

It needs root and Debian's slurmctld, slurmd, slurm-client and munge (22.05), no systemd and no
cgroups, and is skipped elsewhere. Names of nodes are resolved by a hosts file of their own, in a
mount namespace. The program is the stand-in, so a run that was preempted must end with the same
curve, to the last bit, as one that was not. A requeued job waits two minutes for its turn, unless
it is told otherwise, which this does.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from reliability.bench import SAVE_EVERY, Bench, committed, curve, last_step

HERE = Path(__file__).parent
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged", "unshare", "setpriv")
ABLE = os.geteuid() == 0 and all(shutil.which(program) for program in PROGRAMS)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.slurm,
    pytest.mark.skipif(not ABLE, reason=f"needs root and {' '.join(PROGRAMS)}"),
]
CONFIG = """
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
SlurmctldPort={ports[0]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=30
SlurmdParameters=config_overrides
JobRequeue=1
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=4000 Gres=gpu:2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=4000 Gres=gpu:2
PartitionName=debug Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def until(what, seconds: float = 60.0):
    """Waits until `what()` is true, and returns it."""
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


@pytest.fixture(scope="module")
def munge() -> Iterator[None]:
    """The daemon that SLURM's parts trust each other by; one that runs already is used."""
    if subprocess.run(["munge", "-n"], capture_output=True).returncode == 0:
        yield
        return
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge", "munge")
    user = ["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups"]
    daemon = subprocess.Popen([*user, shutil.which("munged"), "--foreground"])
    until(lambda: subprocess.run(["munge", "-n"], capture_output=True).returncode == 0)
    yield
    daemon.terminate()
    daemon.wait(30)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, munge) -> Iterator[Path]:
    """A SLURM of two nodes; the folder holds its configuration and all that it writes."""
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "state").mkdir()
    host = socket.gethostname().split(".")[0]
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    (folder / "hosts").write_text(f"127.0.0.1 localhost\n127.0.0.1 {host} n1 n2\n")
    (folder / "slurm.conf").write_text(CONFIG.format(host=host, folder=folder, ports=ports))
    for name in ("gpu0", "gpu1"):  # SLURM counts files, and no process of these tests opens them
        (folder / name).touch()
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-1]\n")
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    own_hosts = (
        "mount --make-rprivate / && mount --bind $0/hosts /etc/hosts && exec slurmd -D -N $1"
    )
    commands = [["slurmctld", "-D", "-c"]]
    commands += [["unshare", "-m", "bash", "-c", own_hosts, folder, name] for name in ("n1", "n2")]
    daemons = [
        subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        for command in commands
    ]

    def idle() -> bool:
        command = ["sinfo", "--noheader", "--format=%T %D"]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True)
        return ran.stdout == "idle 2\n"

    try:
        until(idle)
        yield folder
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            daemon.wait(30)


class Job:
    """One job, from its submission to its end."""

    def __init__(self, cluster, launch, tmp_path):
        self.cluster, self._launch, self.folder = cluster, launch, tmp_path
        self.number = ""
        self.waits_since: float | None = None

    def submit(self, *flags: str, **variables: str) -> "Job":
        ran = self._launch(
            "slurm.sh",
            flags=flags,
            **{
                **{"SLURM_CONF": str(self.cluster / "slurm.conf"), "NODES": "2"},
                **{"OUT": str(self.folder / "out"), "LOG": str(self.folder / "log")},
                **{"JAX_PLATFORMS": "cpu", "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo"},
                **{"PYTHONUNBUFFERED": "1", **variables},
            },
        )
        assert ran.code == 0, ran.err
        self.number = ran.out.strip()
        return self

    def ask(self, *command: str) -> str:
        environment = {**os.environ, "SLURM_CONF": str(self.cluster / "slurm.conf")}
        return subprocess.run(command, env=environment, capture_output=True, text=True).stdout

    def facts(self) -> dict[str, str]:
        words = self.ask("scontrol", "show", "job", "--oneliner", self.number).split()
        return dict(word.partition("=")[::2] for word in words)

    def state(self) -> str:
        """Its state; one that waits after a requeue is told, some seconds later, that it is time.

        At once, a node would refuse it: it remembers for a moment that the job was killed.
        """
        facts = self.facts()
        if facts["JobState"] != "PENDING" or facts.get("Reason") != "BeginTime":
            self.waits_since = None
        elif self.waits_since is None:
            self.waits_since = time.monotonic()
        elif time.monotonic() - self.waits_since > 3:
            self.ask("scontrol", "update", f"JobId={self.number}", "StartTime=now")
        return facts["JobState"]

    def end(self) -> dict[str, str]:
        """Waits for its end; a job that is being requeued seems to have ended for a moment."""

        def ended() -> bool:
            return self.state() in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")

        until(lambda: ended() and not time.sleep(1) and ended(), 120)
        return self.facts()

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def curve(self, rank: int) -> list[str]:
        path = self.folder / "out" / f"curve-{rank}.txt"
        return path.read_text().splitlines() if path.exists() else []

    def at_step(self, step: int) -> None:
        until(lambda: min(len(self.curve(0)), len(self.curve(1))) >= step)


@pytest.fixture
def job(cluster, launch, tmp_path) -> Iterator[Job]:
    made = Job(cluster, launch, tmp_path)
    yield made
    made.ask("scancel", "--signal=KILL", made.number)
    made.ask("scancel", made.number)
    until(lambda: made.ask("squeue", "--noheader") == "", 60)


def undisturbed(folder: Path, steps: int) -> list[list[str]]:
    """The curves of two processes that nothing happens to."""
    for rank in "01":
        flags = ["--process", rank, "--steps", str(steps), "--seconds", "0", "--resume", "auto"]
        command = [sys.executable, HERE / "standin.py", "train", "e", "--data", "d", *flags]
        subprocess.run([*command, "--out", folder], check=True)
    return [(folder / f"curve-{rank}.txt").read_text().splitlines() for rank in "01"]


def test_preempted_requeued_and_the_same_to_the_last_bit(job, tmp_path, leaks):
    """Two processes, connected by jax that finds SLURM by itself, agree on the step to save at."""
    began = time.monotonic()
    job.submit("--jax", "--steps", "60", "--seconds", "0.1")
    job.at_step(8)
    print(f"submission to step 8: {time.monotonic() - began:.1f} s")
    term = time.monotonic()
    job.ask("scancel", "--signal=TERM", job.number)
    until(lambda: "requeued" in job.log())
    print(f"SIGTERM to requeue: {time.monotonic() - term:.1f} s")
    assert time.monotonic() - term < 10
    facts = job.end()
    assert (facts["JobState"], facts["Restarts"]) == ("COMPLETED", "1")
    assert "crashes" not in facts.get("Comment", "")
    saved = {int(step) for step in re.findall(r": saved (\d+)", job.log())}
    assert len(saved) == 1
    assert job.log().count(f"begins at {saved.pop()}") == 2  # no step is computed twice
    assert [job.curve(0), job.curve(1)] == undisturbed(tmp_path / "undisturbed", 60)
    assert not leaks(job.cluster)
    assert not leaks(tmp_path)


@pytest.mark.timeout(900)
def test_the_trainer_itself_is_preempted_requeued_and_the_same_to_the_last_bit(job, tmp_path):
    """`gmsdi train`, which finds SLURM by itself: metrics, weights and optimizer are equal bits."""
    (tmp_path / "bench").mkdir()
    bench = Bench(tmp_path / "bench")
    expected = bench.whole(launched=True)  # two processes of launch/local.sh
    out = tmp_path / "out"
    names = [name for name in bench.environment if name.startswith("JAX_")]
    job.submit(
        *("--batch", "4"),
        EXPERIMENT=str(bench.folder / "tiny.py"),
        DATA=str(bench.folder / "shards"),
        GMSDI=str(bench.folder / "gmsdi"),
        **{name: bench.environment[name] for name in names},
    )
    until(lambda: committed(out) or job.state() == "FAILED", 200)
    term = time.monotonic()
    job.ask("scancel", "--signal=TERM", job.number)
    until(lambda: "requeued" in job.log())
    print(f"SIGTERM to requeue: {time.monotonic() - term:.1f} s")
    assert "preempted and saved: requeued" in job.log(), job.log()
    assert SAVE_EVERY <= committed(out) == last_step(out)  # no step is computed twice
    facts = job.end()
    assert (facts["JobState"], facts["Restarts"]) == ("COMPLETED", "1"), job.log()
    assert curve(out) == expected


def test_a_slower_process_may_save_after_the_first(job):
    """With srun --kill-on-bad-exit=1 the slower one was ended, and srun told 143."""
    job.submit("--steps", "1000", "--linger", "3")
    job.at_step(3)
    job.ask("scancel", "--signal=TERM", job.number)
    until(lambda: "preempted and saved: requeued" in job.log())
    assert "Exited with exit code 85" in job.log()


def test_the_time_limit_is_a_preemption(job):
    """SLURM may send the signal up to a minute early: even while the processes start."""
    job.submit("--steps", "10000", TIME_LIMIT="00:01:00", GRACE="50")
    until(lambda: "requeued" in job.log(), 70)
    assert re.search(r"preempted (and saved|before it could save): requeued", job.log())


def test_sigterm_while_the_program_starts_is_no_crash(job, standin):
    (standin / "gmsdi").write_text("#!/bin/sh\necho starting\nexec sleep 100\n")
    job.submit(MAX_CRASHES="0")
    until(lambda: job.log().count("starting") == 2)
    job.ask("scancel", "--signal=TERM", job.number)
    until(lambda: "preempted before it could save: requeued" in job.log())


def test_a_job_that_is_cancelled_stays_so(job):
    job.submit("--steps", "1000")
    job.at_step(3)
    job.ask("scancel", job.number)
    assert job.end()["JobState"] == "CANCELLED"
    time.sleep(3)
    assert job.facts()["JobState"] == "CANCELLED"
    assert ": requeued" not in job.log()


def test_a_dead_process_takes_down_the_deaf_and_the_run_goes_on(job, tmp_path):
    job.submit("--steps", "400", "--fail", "1:10:-9", "--deaf")
    until(lambda: "crash 1" in job.log())
    seconds = time.time() - (tmp_path / "out" / "failed-1").stat().st_mtime
    print(f"death to the end of all: {seconds:.1f} s")
    assert seconds < 15
    until(lambda: job.state() == "RUNNING")
    assert job.facts()["Comment"] == "crashes=1"
    assert "crash 1 with 137: requeued" in job.log()
    job.at_step(20)


def test_crashes_are_counted_and_preemptions_are_not(job):
    """One crash is allowed, then a preemption, then the crash that is too much."""
    job.submit("--steps", "1000", "--fail", "0:20:9!", MAX_CRASHES="1", SETTLE="1")
    until(lambda: "crash 1 with" in job.log())
    until(lambda: job.state() == "RUNNING")
    until(lambda: job.log().count("begins at") == 4)
    job.ask("scancel", "--signal=TERM", job.number)
    facts = job.end()
    assert facts["JobState"] == "FAILED"
    assert "crash 2 with" in job.log()
    assert "not requeued (MAX_CRASHES=1)" in job.log()


@pytest.mark.parametrize("code", [2, 4, 70])
def test_what_would_come_again_is_not_requeued(job, code):
    job.submit("--steps", "30", "--fail", f"0:5:{code}!")
    facts = job.end()
    assert facts["Restarts"] == "0"
    assert f"ended with {code}, which would come again: not requeued" in job.log()


@pytest.mark.parametrize(
    ("tasks", "processes", "devices"), [("gpu", 4, "unset"), ("node", 2, "0,1")]
)
def test_processes_for_gpus_or_for_nodes(job, standin, tasks, processes, devices):
    show = "#!/bin/sh\necho rank $SLURM_PROCID of $SLURM_NTASKS, ${JAX_LOCAL_DEVICE_IDS-unset}\n"
    (standin / "gmsdi").write_text(show)
    job.submit(GPUS="2", TASKS=tasks, CPUS="1")
    assert job.end()["JobState"] == "COMPLETED"
    for rank in range(processes):
        assert f"{rank}: rank {rank} of {processes}, {devices}\n" in job.log()


def test_the_stand_in_is_not_needed_to_see_what_slurm_takes(job, launch):
    """sbatch --test-only says yes to all that the launcher prints."""
    variables = {"TIME_LIMIT": "01:00:00", "PARTITION": "debug", "JOB_NAME": "x", "GPUS": "2"}
    ran = launch("slurm.sh", "--dry-run", NODES="2", **variables)
    words = ran.out.split()
    at = words.index("sbatch") + 1
    said = subprocess.run(
        ["sbatch", "--test-only", *words[at:]],
        env={**os.environ, "SLURM_CONF": str(job.cluster / "slurm.conf")},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    assert "on nodes n[1-2]" in said.stderr
