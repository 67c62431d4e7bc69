"""The JobSet that launch/gke.sh makes, held against the schema of the CRD, and its wrong relatives.

jobset.schema.json says how it was made (derive_schema.py). No cluster and no kubectl is asked.
"""

import copy
import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

SCHEMA = json.loads(Path(__file__).with_name("jobset.schema.json").read_text())
Draft202012Validator.check_schema(SCHEMA)
VALIDATOR = Draft202012Validator(SCHEMA)

TPU = {
    **{"NAME": "slakh", "IMAGE": "images/gmsdi:1", "KIND": "tpu", "TOPOLOGY": "4x4", "HOSTS": "4"},
    **{"ACCELERATOR": "tpu-v5-lite-podslice", "DATA": "gs://b/data", "OUT": "gs://b/out"},
}
GPU = {**TPU, "KIND": "gpu", "ACCELERATOR": "nvidia-h100-80gb", "TOPOLOGY": None, "HOSTS": "2"}
MORE = {"SLICES": "2", "SPOT": "1", "QUEUE": "team", "SERVICE_ACCOUNT": "trainer", "GRACE": "25"}
MORE |= {"WANDB_KEY_FROM": "wandb", "XLA_FLAGS": "--xla_a=1 --xla_b=2", "MAX_CRASHES": "0"}
ODD = "a: 'b' \"c\" {d} $(HOME) `e` # f\n- g"


def manifest(launch, variables, *flags):
    """The manifest that would be applied."""
    ran = launch("gke.sh", "--dry-run", flags=flags, **variables)
    assert ran.code == 0, ran.err
    return yaml.safe_load(ran.out)


def pod_of(jobset):
    """The pod of the only job."""
    (group,) = jobset["spec"]["replicatedJobs"]
    return group["template"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("variables", [TPU, GPU, {**TPU, **MORE}])
def test_what_is_made_is_a_jobset(launch, variables):
    VALIDATOR.validate(manifest(launch, variables, "--steps", "3"))


def test_what_is_in_the_repository_is_one_too():
    path = Path(__file__).parents[2] / "launch" / "gke" / "jobset.yaml"
    VALIDATOR.validate(yaml.safe_load(path.read_text()))


def test_a_tpu_run(launch):
    jobset = manifest(launch, {**TPU, **MORE})
    spec = jobset["spec"]
    (group,) = spec["replicatedJobs"]
    job, pod = group["template"]["spec"], pod_of(jobset)
    (train,) = pod["containers"]
    assert group["replicas"] == 2
    assert job["parallelism"] == job["completions"] == 4
    assert job["backoffLimit"] == 0
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] == 25
    assert spec["failurePolicy"]["maxRestarts"] == 0
    assert train["resources"]["limits"] == {"google.com/tpu": 4}
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "4x4",
        "cloud.google.com/gke-spot": "true",
    }
    assert train["env"] == [
        {"name": "XLA_FLAGS", "value": "--xla_a=1 --xla_b=2"},
        {
            "name": "WANDB_API_KEY",
            "valueFrom": {"secretKeyRef": {"name": "wandb", "key": "api-key"}},
        },
    ]
    assert {"name": "shm", "mountPath": "/dev/shm"} in train["volumeMounts"]
    assert pod["volumes"] == [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}}
    ]
    assert train["command"][-2:] == ["--distributed", "auto"]


def test_gpu_hosts_are_told_where_the_first_one_is(launch):
    """The name is the one that JobSet gives: NAME-JOB-REPLICA-POD.NAME."""
    jobset = manifest(launch, GPU)
    (train,) = pod_of(jobset)["containers"]
    assert train["command"][-6:] == [
        *("--coordinator", "slakh-hosts-0-0.slakh:8476", "--processes", "2"),
        *("--process", "$(JOB_COMPLETION_INDEX)"),
    ]
    assert train["resources"]["limits"] == {"nvidia.com/gpu": 8}
    assert jobset["spec"]["network"]["enableDNSHostnames"]
    assert jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["completionMode"] == "Indexed"


def test_values_stay_values(launch):
    """Nothing in a flag or a path becomes part of the manifest."""
    jobset = manifest(launch, {**TPU, "DATA": ODD}, "--note", ODD)
    VALIDATOR.validate(jobset)
    command = pod_of(jobset)["containers"][0]["command"]
    assert command.count(ODD) == 2
    assert command[0] == "gmsdi"


# What Kubernetes says when a pod fails its job (pkg/controller/job/pod_failure_policy.go).
BY_CODE = (
    "Container train for pod default/slakh-hosts-0-1-x failed with exit code {} matching FailJob"
)
EVICTED = (
    "Pod default/slakh-hosts-0-1-x has condition DisruptionTarget matching FailJob rule at index 1"
)
FORGET, COUNT, FAIL = "RestartJobSetAndIgnoreMaxRestarts", "RestartJobSet", "FailJobSet"


@pytest.mark.parametrize(
    ("code", "action"),
    [
        *((code, FAIL) for code in (2, 4, 70, 130)),
        (85, FORGET),
        (143, FORGET),
        *((code, COUNT) for code in (1, 74, 134, 137, 139, 240, 24, 14)),
        (None, FORGET),
    ],
)
def test_exit_codes_decide(launch, code, action):
    """As the controllers of Kubernetes and JobSet do it, rule after rule."""
    spec = manifest(launch, TPU)["spec"]
    job = spec["replicatedJobs"][0]["template"]["spec"]
    reason, message = "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    for rule in job["podFailurePolicy"]["rules"]:
        assert rule["action"] == "FailJob"
        if code is None and "onPodConditions" in rule:
            assert rule["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
            reason, message = "PodFailurePolicy", EVICTED
        elif code in rule.get("onExitCodes", {}).get("values", []):
            assert rule["onExitCodes"]["operator"] == "In"
            reason, message = "PodFailurePolicy", BY_CODE.format(code) + " rule at index 0"
    taken = next(
        rule["action"]
        for rule in spec["failurePolicy"]["rules"]
        if reason in rule.get("onJobFailureReasons", [reason])
        and any(re.search(p, message) for p in rule.get("onJobFailureMessagePatterns", [""]))
    )
    assert taken == action


def changed(way, value):
    """A change of the manifest at a way through it; `...` removes."""

    def change(jobset):
        node = jobset
        for key in way[:-1]:
            node = node[key]
        if value is ...:
            del node[way[-1]]
        else:
            node[way[-1]] = value

    return change


POLICY = ("spec", "failurePolicy")
GROUP = ("spec", "replicatedJobs", 0)
JOB = (*GROUP, "template", "spec")
POD = (*JOB, "template", "spec")
TRAIN = (*POD, "containers", 0)
WRONG = {
    "a typing error in the policy": changed((*POLICY, "maxRestart"), 3),
    "an action that is none": changed((*POLICY, "rules", 0, "action"), "FailJobset"),
    "a rule without a name": changed((*POLICY, "rules", 0, "name"), ...),
    "a rule's name with a blank": changed((*POLICY, "rules", 0, "name"), "would come again"),
    "a reason that is none": changed((*POLICY, "rules", 0, "onJobFailureReasons"), ["ExitCode"]),
    "a strategy that is none": changed((*POLICY, "restartStrategy"), "Blocking"),
    "a number as text": changed((*POLICY, "maxRestarts"), "3"),
    "fewer than no replicas": changed((*GROUP, "replicas"), -1),
    "a job without a name": changed((*GROUP, "name"), ...),
    "a job without a template": changed((*GROUP, "template"), ...),
    "a typing error in the container": changed((*TRAIN, "comand"), ["gmsdi"]),
    "a command as one text": changed((*TRAIN, "command"), "gmsdi train"),
    "a container without a name": changed((*TRAIN, "name"), ...),
    "a variable that is a number": changed((*TRAIN, "env"), [{"name": "A", "value": 1}]),
    "a privileged container": changed((*TRAIN, "securityContext"), {"privileged": True}),
    "the host's network": changed((*POD, "hostNetwork"), True),
    "the host's files": changed((*POD, "volumes"), [{"name": "x", "hostPath": {"path": "/"}}]),
    "a pod that restarts always": changed((*POD, "restartPolicy"), "Always"),
    "memory that is none": changed((*POD, "volumes", 0, "emptyDir", "medium"), "RAM"),
    "an operator that is none": changed(
        (*JOB, "podFailurePolicy", "rules", 0, "onExitCodes", "operator"), "Is"
    ),
    "exit codes as text": changed(
        (*JOB, "podFailurePolicy", "rules", 0, "onExitCodes", "values"), ["85"]
    ),
    "a job's field one level too high": changed((*GROUP, "template", "backoffLimit"), 0),
    "another version": changed(("apiVersion",), "jobset.x-k8s.io/v1"),
    "a name of Python": changed(("metadata", "name"), "paper_slakh"),
}


def test_wrong_relatives_are_refused(launch):
    good = manifest(launch, TPU)
    for what, change in WRONG.items():
        bad = copy.deepcopy(good)
        change(bad)
        assert bad != good
        assert not VALIDATOR.is_valid(bad), what


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"NAME": "Paper_Slakh"}, "NAME=Paper_Slakh"),
        ({"NAME": "a" * 41}, "up to 40"),
        ({"KIND": "cpu"}, "KIND=cpu is not one of: tpu gpu"),
        ({"HOSTS": "four"}, "HOSTS=four is not a whole number"),
        ({"TOPOLOGY": None, "HOSTS": None}, "not set: HOSTS"),
        ({"TOPOLOGY": None}, "not set: TOPOLOGY"),
        ({"KIND": "gpu", "SLICES": "2"}, "SLICES=2"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(launch, variables, said):
    ran = launch("gke.sh", "--dry-run", **{**TPU, **variables})
    assert ran.code == 2
    assert not ran.out
    (line,) = ran.err.splitlines()
    assert said in line


def test_the_longest_name_fits(launch):
    """Kubernetes takes 63 signs; a pod is NAME-hosts-REPLICA-HOST-abcde."""
    jobset = manifest(launch, {**TPU, "NAME": "a" * 40, "SLICES": "100", "HOSTS": "1024"})
    assert len(f"{jobset['metadata']['name']}-hosts-99-1023-abcde") <= 63


def test_the_manifest_goes_to_kubectl(launch, tmp_path, standin):
    (standin / "kubectl").write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/words\ncat > {tmp_path}/in'
    )
    (standin / "kubectl").chmod(0o755)
    printed = launch("gke.sh", "--dry-run", **TPU, NAMESPACE="music")
    assert launch("gke.sh", **TPU, NAMESPACE="music").code == 0
    assert (tmp_path / "words").read_text() == "create --namespace music --filename -\n"
    assert (
        printed.out
        == "# kubectl create --namespace music --filename -\n" + (tmp_path / "in").read_text()
    )
