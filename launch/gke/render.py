#!/usr/bin/env python3
"""Fills jobset.yaml in for one run and prints it; launch/gke.sh calls it.

The manifest is read, changed and written as data, so no value can break out of its place, whatever
signs it holds. Needs PyYAML, which gmsdi installs.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import yaml

# The longest pod name is NAME-hosts-REPLICA-HOST-abcde, and Kubernetes takes 63 signs.
NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")


def rendered(options: argparse.Namespace) -> dict[str, Any]:
    """The manifest of one run."""
    jobset = yaml.safe_load(Path(__file__).with_name("jobset.yaml").read_text())
    spec = jobset["spec"]
    (group,) = spec["replicatedJobs"]
    job = group["template"]["spec"]
    pod = job["template"]["spec"]
    (train,) = pod["containers"]

    jobset["metadata"]["name"] = options.name
    spec["failurePolicy"]["maxRestarts"] = options.max_crashes
    group["replicas"] = options.slices
    job["parallelism"] = job["completions"] = options.hosts
    pod["terminationGracePeriodSeconds"] = options.grace
    pod["nodeSelector"] = dict(options.node)
    train["image"] = options.image
    train["command"] = options.command
    train["resources"] = {"limits": {options.resource: options.count}}
    if options.env or options.wandb_key_from:
        train["env"] = [{"name": name, "value": value} for name, value in options.env]
    if options.exclusive:  # one slice on one node pool, since a node pool is a slice
        key = "alpha.jobset.sigs.k8s.io/exclusive-topology"
        jobset["metadata"]["annotations"] = {key: "cloud.google.com/gke-nodepool"}
    if options.spot:
        spot = "cloud.google.com/gke-spot"
        pod["nodeSelector"][spot] = "true"
        taint = {"key": spot, "operator": "Equal", "value": "true", "effect": "NoSchedule"}
        pod["tolerations"] = [taint]
    if options.queue:
        jobset["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": options.queue}
    if options.service_account:
        pod["serviceAccountName"] = options.service_account
    if options.wandb_key_from:
        key = {"name": options.wandb_key_from, "key": "api-key"}
        train["env"].append({"name": "WANDB_API_KEY", "valueFrom": {"secretKeyRef": key}})
    return jobset


def pair(text: str) -> tuple[str, str]:
    """NAME=value."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text} is not NAME=value")
    return name, value


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="render.py", description=(__doc__ or "").split("\n")[0])
    for name in ("--name", "--image", "--resource"):
        parser.add_argument(name, required=True)
    for name in ("--count", "--slices", "--hosts", "--max-crashes", "--grace"):
        parser.add_argument(name, type=int, required=True)
    for name in ("--node", "--env"):
        parser.add_argument(name, type=pair, action="append", default=[])
    for name in ("--queue", "--service-account", "--wandb-key-from"):
        parser.add_argument(name, default="")
    for name in ("--spot", "--exclusive"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    if not NAME.fullmatch(options.name):
        print(
            f"render.py: NAME={options.name}: up to 40 small letters, digits and dashes, "
            "a letter first and no dash last",
            file=sys.stderr,
        )
        return 2
    yaml.safe_dump(rendered(options), sys.stdout, sort_keys=False, width=100)
    return 0


if __name__ == "__main__":
    sys.exit(main())
