"""The real gcloud takes the flags of launch/tpu_vm.sh: it reads them before it asks for an account.

With an empty configuration it ends with 2 where a flag is unknown or missing, and with 1 where only
an account is missing. Skipped where gcloud is not installed. Nothing is sent anywhere.
"""

import os
import shlex
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is not installed")
TPU = {"NAME": "run", "ZONE": "us-west4-a", "TYPE": "v5litepod-16", "RUNTIME": "v2-alpha"}


@pytest.fixture
def gcloud(tmp_path):
    """Runs gcloud without an account and returns its code."""

    def run(*words: str) -> int:
        settings = {
            **os.environ,
            **{"CLOUDSDK_CONFIG": str(tmp_path / "config"), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"},
            **{"CLOUDSDK_CORE_PROJECT": "p", "HOME": str(tmp_path)},
            **{"CLOUDSDK_CORE_CHECK_GCE_METADATA": "0"},
        }
        ran = subprocess.run(words, env=settings, capture_output=True, text=True)
        assert ran.returncode == 2 or "active account" in ran.stderr, ran.stderr
        return ran.returncode

    return run


def test_every_call_of_a_dry_run_is_one_that_gcloud_takes(launch, gcloud, tmp_path):
    more = {"SLICES": "2", "PROJECT": "p", "SERVICE_ACCOUNT": "a@b.iam.gserviceaccount.com"}
    lines = launch("tpu_vm.sh", "watch", "--dry-run", **TPU).out.splitlines()
    lines += launch("tpu_vm.sh", "create", "--dry-run", **TPU, **more).out.splitlines()[-1:]
    calls = [shlex.split(line) for line in lines if line.startswith("gcloud")]
    assert {call[4] for call in calls} == {"list", "create", "scp", "ssh", "delete"}
    for call in calls:
        assert gcloud(*call) == 1, call
    assert gcloud(*calls[0], "--no-such-flag") == 2
