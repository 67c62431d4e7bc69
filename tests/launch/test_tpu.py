"""launch/tpu_vm.sh against a small cloud (fake_gcloud.py): two machines that really run the worker.

The queued resource goes through the states of the real one, is lost, and comes again; single calls
fail. What runs on the machines is launch/tpu_worker.sh and the stand-in, so that a run that was
lost must end with the same curve, to the last bit, as one that was not.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
READY = ["WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"]
# What a TPU VM has: a Python that installs what is asked for, here the stand-in as .venv/bin/gmsdi.
REMOTE_PYTHON = """#!/bin/sh
echo "$@" >> "$CLOUD/installed.txt"
if [ "$2 $3" = "uv venv" ]; then mkdir -p .venv/bin && cp "$CLOUD/bin/gmsdi" .venv/bin/gmsdi; fi
"""


class Cloud:
    """A folder that plays the cloud, and the launcher from a repository of its own."""

    def __init__(self, folder: Path, launch, program):
        self.folder, self._launch = folder, launch
        self.repository = folder / "repository"
        program(folder / "bin" / "gcloud", HERE / "fake_gcloud.py")
        program(folder / "remote-bin" / "gcloud", HERE / "fake_gcloud.py")
        (folder / "remote-bin" / "python3").write_text(REMOTE_PYTHON)
        (folder / "remote-bin" / "python3").chmod(0o755)
        (folder / "secret").write_text("from-the-secret-manager")
        shutil.copytree(ROOT / "launch", self.repository / "launch")
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.repository)
        (self.repository / "experiment.py").write_text("")
        self.git("init", "--quiet")
        self.git("add", ".")
        self.git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "all")

    def git(self, *words: str) -> None:
        subprocess.run(["git", "-C", self.repository, *words], check=True)

    def plan(self, *lives: dict, **fail: list[int]) -> None:
        text = json.dumps({"lives": lives, "fail": fail})
        (self.folder / "plan.json").write_text(text)

    def run(self, *words: str, flags: tuple[str, ...] = (), **variables):
        return self._launch(
            "tpu_vm.sh",
            *words,
            flags=flags,
            root=self.repository,
            **{
                **{"EXPERIMENT": "experiment.py", "NAME": "run", "ZONE": "us-west4-a"},
                **{"TYPE": "v5litepod-16", "RUNTIME": "v2-alpha-tpuv5-lite", "POLL": "0.05"},
                **{"CLOUD": str(self.folder), "OUT": str(self.folder / "out")},
                **variables,
            },
        )

    def calls(self) -> list[list[str]]:
        path = self.folder / "calls.txt"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def verbs(self) -> list[str]:
        return [call[3] for call in self.calls() if call[0] == "compute"]

    def curve(self, rank: int) -> list[str]:
        return (self.folder / "out" / f"curve-{rank}.txt").read_text().splitlines()


@pytest.fixture
def cloud(tmp_path, launch, program) -> Cloud:
    return Cloud(tmp_path, launch, program)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The curve of each rank over `steps` steps, by processes that nothing happens to."""

    def curves(steps: int) -> list[list[str]]:
        out = tmp_path_factory.mktemp("undisturbed")
        for rank in "01":
            flags = ["--process", rank, "--steps", str(steps), "--seconds", "0"]
            command = ["train", "e", "--data", "d", "--out", out, "--resume", "auto", *flags]
            subprocess.run(["python3", HERE / "standin.py", *command], check=True)
        return [(out / f"curve-{rank}.txt").read_text().splitlines() for rank in "01"]

    return curves


def test_a_run_that_is_lost_twice_ends_as_one_that_is_not(cloud, undisturbed, leaks):
    cloud.plan(
        {"states": READY, "until": 5, "then": "SUSPENDED"},
        {"states": ["FAILED"]},
        {"states": ["CREATING", "ACCEPTED", *READY], "until": 12, "then": "SUSPENDED"},
        {"states": ["ACTIVE"]},
    )
    ran = cloud.run("watch", flags=("--steps", "40", "--seconds", "0.05"))
    assert ran.code == 0, ran.err
    assert [cloud.curve(0), cloud.curve(1)] == undisturbed(40)
    verbs = cloud.verbs()
    assert verbs.count("create") == verbs.count("delete") == 4
    assert verbs[-1] == "delete"  # nothing is left that costs
    for word in ("WAITING_FOR_RESOURCES", "SUSPENDED", "FAILED", "ACTIVE", "ended with 0"):
        assert word in ran.err
    assert not leaks(cloud.folder)


def test_single_calls_that_fail_are_made_again(cloud, undisturbed):
    cloud.plan({"states": READY}, list=[1, 3], create=[1], ssh=[1, 3, 5], scp=[1], delete=[1])
    ran = cloud.run("watch", KEEP="1", flags=("--steps", "10", "--seconds", "0.2"))
    assert ran.code == 0, ran.err
    assert [cloud.curve(0), cloud.curve(1)] == undisturbed(10)
    assert cloud.verbs().count("create") == 2
    assert "delete" not in cloud.verbs()


def test_what_never_works_is_told(cloud):
    cloud.plan(list=list(range(1, 50)))
    ran = cloud.run("watch", MAX_FAILURES="3")
    assert ran.code == 4
    assert "gcloud does not answer, 4 times in a row" in ran.err
    assert "currently unavailable" in ran.err


def test_a_request_that_fails_again_and_again_is_told(cloud):
    cloud.plan(*[{"states": ["FAILED"]}] * 9)
    ran = cloud.run("watch", MAX_FAILURES="2")
    assert ran.code == 4
    assert "fails again and again" in ran.err
    assert cloud.verbs().count("create") == 3


@pytest.mark.parametrize("code", [70, *(pytest.param(c, marks=pytest.mark.slow) for c in (2, 4))])
def test_what_would_come_again_is_not_started_again(cloud, code):
    cloud.plan({"states": ["ACTIVE"]})
    ran = cloud.run("watch", flags=("--fail", f"1:3:{code}!"))
    assert ran.code == code
    assert cloud.verbs().count("scp") == 1
    assert cloud.verbs()[-1] == "delete"
    assert "begins at 0" in ran.err  # the end of the log, before the machines go


@pytest.mark.slow
def test_a_crash_is_started_again_some_times(cloud, undisturbed):
    cloud.plan({"states": ["ACTIVE"]})
    ran = cloud.run("watch", flags=("--fail", "1:7:-9", "--steps", "20"))
    assert ran.code == 0, ran.err
    assert "crashed 137" in ran.err
    assert cloud.verbs().count("scp") == 2
    assert cloud.curve(1)[-1] == undisturbed(20)[1][-1]


@pytest.mark.slow
def test_a_crash_that_comes_always_ends_the_run(cloud):
    cloud.plan({"states": ["ACTIVE"]})
    ran = cloud.run("watch", MAX_CRASHES="1", flags=("--fail", "0:3:9!", "--deaf"))
    assert ran.code == 9
    assert cloud.verbs().count("scp") == 2


@pytest.mark.slow
def test_a_machine_that_was_away_is_started_again(cloud, undisturbed):
    """A reboot leaves the files and ends the processes."""
    cloud.plan({"states": ["ACTIVE"]})
    flags = ("--steps", "30", "--seconds", "0.05")
    assert cloud.run("create").code == cloud.run("wait").code == 0
    assert cloud.run("run", flags=flags).code == 0
    pid = (cloud.folder / "machine-1" / "gmsdi" / "run.pid").read_text().strip()
    subprocess.run(["kill", "-s", "KILL", "--", f"-{pid}"], check=True)
    assert "status: lost" in cloud.run("status").out
    ran = cloud.run("watch", MAX_CRASHES="0", flags=flags)
    assert ran.code == 0, ran.err
    assert cloud.curve(1)[-1] == undisturbed(30)[1][-1]


def test_every_step_by_hand(cloud, undisturbed):
    """Each may be repeated; the run outlives the connection that started it, and can be stopped."""
    cloud.plan({"states": READY})
    flags = ("--steps", "400", "--seconds", "0.05")
    assert cloud.run("wait").code == 4
    assert cloud.run("create").code == cloud.run("create").code == 0
    assert cloud.verbs().count("create") == 1
    assert cloud.run("wait").code == 0
    assert cloud.run("status").out == "status: absent\n" * 2
    assert cloud.run("run", flags=flags).code == 0
    assert "runs already" in cloud.run("run", flags=flags).err
    assert (cloud.folder / "installed.txt").read_text().count("uv venv") == 2
    assert cloud.run("status").out == "status: running\n" * 2
    assert cloud.run("stop").code == 0
    for _ in range(50):
        status = cloud.run("status").out
        if "running" not in status:
            break
    assert status == "status: exited 85\n" * 2
    steps = len(cloud.curve(0))
    assert cloud.curve(0) == undisturbed(steps)[0]
    assert cloud.run("delete").code == 0


def test_a_secret_is_fetched_on_the_machine(cloud, leaks):
    """Its name goes there, its value comes from the Secret Manager into the process alone."""
    cloud.plan({"states": ["ACTIVE"]})
    show = '#!/bin/sh\necho "${#WANDB_API_KEY}" > "$CLOUD/length"\n'
    (cloud.folder / "bin" / "gmsdi").write_text(show)
    assert cloud.run("watch", WANDB_KEY_FROM="wandb").code == 0
    assert (cloud.folder / "length").read_text() == f"{len('from-the-secret-manager')}\n"
    secrets = [call for call in cloud.calls() if call[0] == "secrets"]
    assert secrets == [["secrets", "versions", "access", "latest", "--secret=wandb"]] * 2
    assert not leaks(cloud.folder)


def test_only_what_is_committed_is_sent(cloud):
    (cloud.repository / "new.py").write_text("")
    ran = cloud.run("watch", EXPERIMENT="new.py")
    assert ran.code == 2
    assert "EXPERIMENT=new.py is not in commit" in ran.err
    assert not cloud.calls()
