"""G18: secrets in the environment stay there, whatever a run does and however it ends."""

import os
import subprocess
from pathlib import Path

from reliability.bench import ROOT, Bench, Outcome, committed, finish, until

CANARY = "canary-5f7c0d91e2b84a6f9d03c7715e88a4d2c19b0f63"
NAMES = ("WANDB_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "DB_PASSWORD")
LAUNCHERS = (("local.sh",), ("slurm.sh",), ("gke.sh",), ("sky.sh",), ("tpu_vm.sh", "create"),
             ("tpu_vm.sh", "run"))  # fmt: skip


def canary(bench: Bench, quick: bool) -> Outcome:
    """Everything is run with them set; then every file and every output is searched."""
    bench.environment |= dict.fromkeys(NAMES, CANARY)
    bench.environment |= {"WANDB_MODE": "offline"}
    said = [*_runs(bench), *_launchers(bench)]
    paths = [Path(at) / name for at, _, names in os.walk(bench.folder) for name in names]
    leaks = [path for path in paths if path.is_file() and CANARY.encode() in path.read_bytes()]
    spoken = sum(CANARY in text for text in said)
    where = "".join(f", {path.relative_to(bench.folder)}" for path in leaks[:3])
    return Outcome(
        not leaks and not spoken,
        f"{len(NAMES)} secrets set; runs that end well, fail, are killed, log to wandb offline; "
        "launchers with --dry-run",
        f"{len(leaks)} of {len(paths)} files and {spoken} of {len(said)} outputs hold one{where}",
    )


def _runs(bench: Bench) -> list[str]:
    """What runs of all kinds said."""
    out = bench.out("run")
    well = finish(bench.start(out, "--steps", "10", "--wandb", "secrets"))
    assert well.code == 0, well.err
    kinds = [
        bench.start(out, "--seed", "9"),  # another run
        bench.start(bench.out("run"), "--data", "nowhere"),
        bench.start(bench.out("run"), "--no-such-flag", "1"),
        bench.start(bench.out("run"), "--optimizer.rate", "1e30"),
    ]
    ends = [well, *(finish(process) for process in kinds)]
    said = [text for ended in ends for text in ended[1:]]
    assert list(bench.folder.rglob("*.wandb")), "wandb wrote nothing"
    out = bench.out("killed")
    process = bench.launch(out, "--tensorboard")
    until(lambda: committed(out) or process.poll() is not None)
    process.terminate()
    return [*said, *finish(process)[1:]]


def _launchers(bench: Bench) -> list[str]:
    """What launchers would do."""
    variables = {
        **{"DATA": "/bucket/data", "OUT": "/bucket/out"},
        **{"EXPERIMENT": "experiments/minislakh_tiny.py", "NODES": "2"},
        **{"IMAGE": "images/gmsdi:1", "NAME": "n", "HOSTS": "4", "ZONE": "us-west4-a"},
        **{"KIND": "tpu", "ACCELERATOR": "tpu-v5-lite-podslice", "TOPOLOGY": "4x4"},
        **{"TYPE": "v5litepod-16", "RUNTIME": "v2-alpha", "BUCKET": "gs://b"},
    }
    said = []
    for words in LAUNCHERS:
        command = ["bash", str(ROOT / "launch" / words[0]), *words[1:], "--dry-run"]
        ran = subprocess.run(
            command, env=bench.environment | variables, capture_output=True, text=True, cwd=ROOT
        )
        assert ran.returncode == 0, (words, ran.stderr)
        said += [ran.stdout, ran.stderr]
    return said
