"""Gates that tests of the ordinary suite hold: they are run, and counted."""

import os
import re
import subprocess
import sys

from reliability.bench import ROOT, Bench, Outcome


def tests(*words: str, done: str):
    """A gate that is held by some tests."""

    def gate(bench: Bench, quick: bool) -> Outcome:
        slow = [] if quick else ["--slow"]
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(
            [*command, *slow, *words], cwd=ROOT, capture_output=True, text=True, env=environment
        )
        last = ran.stdout.strip().splitlines()[-1] if ran.stdout.strip() else ran.stderr[-200:]
        counts = re.findall(r"\d+ (?:passed|failed|skipped|error|deselected)", last)
        passed = ran.returncode == 0 and "passed" in last
        return Outcome(passed, done, ", ".join(counts) or last)

    return gate


ORDER = tests(
    "tests/data/test_processes.py", done="global order under 1, 2 and 4 processes, with restarts"
)
INPUTS = tests(
    "tests/data_pipelines/test_damaged_inputs.py", "tests/cli/test_train.py",
    done="damaged audio, archives, metadata, shards, experiments, settings",
)  # fmt: skip
SLURM = tests(
    "tests/launch/test_slurm.py", done="submitted, preempted, requeued; crashes, time limits"
)
LAUNCHERS = tests(
    "tests/launch", "-m", "not slurm",
    done="shellcheck, goldens, a fake gcloud, mutated manifests against the schema",
)  # fmt: skip
