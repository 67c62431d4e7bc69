"""How jobset.schema.json was made: derive_schema.py CRD.yaml > jobset.schema.json.

CRD.yaml is config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml of kubernetes-sigs/jobset at
commit 08dfbdf (2026-08-18, Apache-2.0), which is not kept here. Taken from it are facts alone:
which fields there are, their types, what is required and the values that are allowed; no
descriptions. Everything is closed, so that a field that is unknown is refused.

The schema is stricter than the CRD in two ways. Fields that no launcher has a use for, some of them
dangerous, are left out (`LEFT_OUT`). And values that the CRD leaves to the controllers are given as
those accept them (`VALUES`): the Job and Pod API of Kubernetes 1.31 and later, and the webhook of
JobSet (pkg/webhooks/jobset_webhook.go at the same commit).
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

JOB = "replicatedJobs.template.spec"
POD = f"{JOB}.template.spec"
LEFT_OUT = {
    "": {"startupPolicy", "volumeClaimPolicies"},
    JOB: {"selector"},
    "replicatedJobs.template": {"metadata"},
    POD: {
        *("affinity", "dnsConfig", "dnsPolicy", "ephemeralContainers", "hostAliases", "hostIPC"),
        *("hostNetwork", "hostPID", "hostUsers", "initContainers", "nodeName", "resourceClaims"),
        *("readinessGates", "schedulingGates", "schedulingGroup", "securityContext"),
        *("topologySpreadConstraints", "resources", "overhead", "os"),
    },
    f"{POD}.containers": {
        *(
            "envFrom",
            "lifecycle",
            "livenessProbe",
            "readinessProbe",
            "resizePolicy",
            "startupProbe",
        ),
        *("restartPolicyRules", "volumeDevices", "stdin", "stdinOnce", "tty"),
    },
    f"{POD}.containers.securityContext": {
        *("privileged", "procMount", "seLinuxOptions", "windowsOptions", "appArmorProfile"),
        *("seccompProfile",),
    },
    f"{POD}.containers.resources": {"claims"},
    f"{POD}.containers.env.valueFrom": {"fileKeyRef", "resourceFieldRef"},
}
VOLUMES = {"name", "emptyDir", "persistentVolumeClaim", "secret", "configMap"}
VALUES: dict[str, dict[str, Any]] = {
    "failurePolicy.rules.name": {"pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
    "failurePolicy.rules.onJobFailureReasons.": {
        "enum": [
            *("BackoffLimitExceeded", "DeadlineExceeded", "FailedIndexes"),
            *("MaxFailedIndexesExceeded", "PodFailurePolicy"),
        ]
    },
    "replicatedJobs.name": {"pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"},
    f"{JOB}.completionMode": {"enum": ["Indexed", "NonIndexed"]},
    f"{JOB}.podFailurePolicy.rules.action": {"enum": ["FailJob", "FailIndex", "Ignore", "Count"]},
    f"{JOB}.podFailurePolicy.rules.onExitCodes.operator": {"enum": ["In", "NotIn"]},
    f"{JOB}.podFailurePolicy.rules.onExitCodes.values": {"uniqueItems": True, "minItems": 1},
    f"{JOB}.podFailurePolicy.rules.onPodConditions.status": {"enum": ["True", "False", "Unknown"]},
    f"{POD}.restartPolicy": {"enum": ["Never", "OnFailure"]},
    f"{POD}.tolerations.effect": {"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
    f"{POD}.tolerations.operator": {"enum": ["Exists", "Equal"]},
    f"{POD}.volumes.emptyDir.medium": {"enum": ["", "Memory"]},
}
KEPT = ("type", "enum", "required", "pattern", "minimum", "maximum", "minItems", "maxItems")
KEPT_TOO = ("minLength", "maxLength", "anyOf")


def facts(node: dict[str, Any], at: str = "") -> dict[str, Any]:
    """The facts of one node of the CRD's schema; `at` is the way to it, without list positions."""
    found = {key: node[key] for key in (*KEPT, *KEPT_TOO) if key in node}
    if node.get("x-kubernetes-int-or-string"):
        found = {"type": ["integer", "string"]}
    if "properties" in node:
        left_out = LEFT_OUT.get(at, set())
        if at == f"{POD}.volumes":
            left_out = node["properties"].keys() - VOLUMES
        found["properties"] = {
            name: facts(child, f"{at}.{name}".lstrip("."))
            for name, child in node["properties"].items()
            if name not in left_out
        }
        found["additionalProperties"] = False
    elif isinstance(node.get("additionalProperties"), dict):
        found["additionalProperties"] = facts(node["additionalProperties"], f"{at}.")
    if "items" in node:
        plain = "properties" not in node["items"]
        found["items"] = facts(node["items"], f"{at}." if plain else at)
    return {**found, **VALUES.get(at, {})}


def main() -> None:
    """Reads the CRD and prints the schema."""
    crd = yaml.safe_load(Path(sys.argv[1]).read_text())
    (version,) = [v for v in crd["spec"]["versions"] if v["name"] == "v1alpha2"]
    spec = facts(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
    labels = {"type": "object", "additionalProperties": {"type": "string"}}
    name = {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
    metadata = {"name": name, "namespace": name, "labels": labels, "annotations": labels}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "JobSet v1alpha2, as far as launch/gke uses it; made by derive_schema.py",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "properties": {
            "apiVersion": {"const": "jobset.x-k8s.io/v1alpha2"},
            "kind": {"const": "JobSet"},
            "metadata": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "properties": metadata,
            },
            "spec": spec,
        },
    }
    json.dump(schema, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
