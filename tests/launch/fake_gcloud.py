"""A small cloud under the name of gcloud: one queued resource of two machines that are folders.

`CLOUD` names the folder of its state. `plan.json` there holds what happens:

- `lives`: for each creation, the states that one `list` after the other sees; `until`, a number of
  steps of the run after which the machines are lost; `then`, the state that follows. Losing them
  kills what runs there, and the folders are gone.
- `fail`: for each verb the calls, counted from 1, that fail.

Flags are those of Google Cloud SDK 528 for each verb (gcloud compute tpus queued-resources VERB
--help); any other ends with 2, as gcloud does. A command by ssh runs on every machine, in its
folder.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

MACHINES = 2
ANYWHERE = {"--zone", "--project", "--quiet", "--format"}
FLAGS = {
    "list": {"--filter"},
    "create": {
        *("--accelerator-type", "--runtime-version", "--valid-until-duration", "--spot"),
        *("--node-id", "--node-count", "--node-prefix", "--service-account"),
    },
    "delete": {"--force", "--async"},
    "ssh": {"--node", "--worker", "--command"},
    "scp": {"--node", "--worker"},
}
HOME = Path(os.environ["CLOUD"])
PLAN = json.loads((HOME / "plan.json").read_text())


def main() -> int:
    """One call."""
    words = sys.argv[1:]
    with (HOME / "calls.txt").open("a") as calls:
        calls.write(json.dumps(words) + "\n")
    if words[:4] == ["secrets", "versions", "access", "latest"]:
        print((HOME / "secret").read_text())
        return 0
    assert words[:3] == ["compute", "tpus", "queued-resources"], words
    verb, *rest = words[3:]
    flags = dict(word.partition("=")[::2] for word in rest if word.startswith("--"))
    unknown = flags.keys() - FLAGS[verb] - ANYWHERE
    if unknown or "--zone" not in flags:
        return error(2, f"unrecognized arguments: {unknown}")
    state = read()
    count = state["calls"][verb] = state["calls"].get(verb, 0) + 1
    write(state)
    if count in PLAN.get("fail", {}).get(verb, []):
        return error(1, f"{verb}: the service is currently unavailable")
    names = [word for word in rest if not word.startswith("--")]
    return {"list": see, "create": create, "delete": delete, "ssh": ssh, "scp": scp}[verb](
        state, names, flags
    )


def see(state: dict, names: list[str], flags: dict[str, str]) -> int:
    """The next state of this life."""
    assert not names
    if not state["name"]:
        return 0
    life = PLAN["lives"][state["life"]]
    if state["path"]:
        state["now"] = state["path"].pop(0)
    elif state["now"] == "ACTIVE" and "until" in life and steps() >= life["until"]:
        wipe()
        state["now"] = life["then"]
    write(state)
    print(f"{state['name']},{state['now']}\nanother,ACTIVE")
    return 0


def create(state: dict, names: list[str], flags: dict[str, str]) -> int:
    """A new life."""
    if state["name"]:
        return error(1, "ALREADY_EXISTS")
    life = state["life"] + 1
    path = [*PLAN["lives"][life]["states"]]
    write({**state, "name": names[0], "life": life, "path": path, "now": "CREATING"})
    return 0


def delete(state: dict, names: list[str], flags: dict[str, str]) -> int:
    """The end of a life."""
    assert names == [state["name"]], names
    wipe()
    write({**state, "name": "", "path": [], "now": ""})
    return 0


def ssh(state: dict, names: list[str], flags: dict[str, str]) -> int:
    """Runs the command on every machine."""
    if state["now"] != "ACTIVE":
        return error(255, "ssh: connection timed out")
    codes = []
    for number in range(MACHINES if flags["--worker"] == "all" else 1):
        machine = HOME / f"machine-{number}"
        machine.mkdir(exist_ok=True)
        environment = {
            "PATH": f"{HOME / 'remote-bin'}:/usr/bin:/bin",
            "HOME": str(machine),
            "CLOUD": str(HOME),
            "TPU_WORKER_ID": str(number),
        }
        command = ["bash", "-c", flags["--command"]]
        codes.append(subprocess.run(command, cwd=machine, env=environment).returncode)
    return max(codes)


def scp(state: dict, names: list[str], flags: dict[str, str]) -> int:
    """Copies one file to every machine."""
    if state["now"] != "ACTIVE":
        return error(255, "ssh: connection timed out")
    source, target = names
    name, _, path = target.partition(":")
    assert name == state["name"], target
    for number in range(MACHINES):
        machine = HOME / f"machine-{number}"
        machine.mkdir(exist_ok=True)
        shutil.copy(source, machine / path)
    return 0


def steps() -> int:
    """How far the run has come."""
    curve = HOME / "out" / "curve-0.txt"
    return len(curve.read_text().splitlines()) if curve.exists() else 0


def wipe() -> None:
    """Ends what runs on the machines as a shutdown does, then the machines."""
    for number in range(MACHINES):
        machine = HOME / f"machine-{number}"
        for pid in machine.glob("gmsdi/run.pid"):
            for end in (signal.SIGTERM, signal.SIGKILL):
                subprocess.run(["kill", "-s", str(int(end)), "--", f"-{pid.read_text().strip()}"])
                subprocess.run(["sleep", "0.3"])
        shutil.rmtree(machine, ignore_errors=True)


def read() -> dict:
    """The state of the cloud."""
    path = HOME / "state.json"
    new = {"name": "", "life": -1, "path": [], "now": "", "calls": {}}
    return json.loads(path.read_text()) if path.exists() else new


def write(state: dict) -> None:
    """Keeps it."""
    (HOME / "state.json").write_text(json.dumps(state))


def error(code: int, message: str) -> int:
    """As gcloud says it."""
    print(f"ERROR: (gcloud.compute.tpus) {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
