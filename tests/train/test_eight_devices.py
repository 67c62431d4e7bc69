"""Runs `on_eight_devices.py` where there are eight devices: a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).with_name("on_eight_devices.py")
FLAG = "--xla_force_host_platform_device_count=8"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "which", [["-m", "not slow"], pytest.param(["--slow", "-m", "slow"], marks=pytest.mark.slow)]
)
def test_everything_holds_on_eight_devices(which):
    flags = f"{os.environ.get('XLA_FLAGS', '')} {FLAG}"
    plain = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *plain, *which, TESTS],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        cwd=TESTS.parents[2],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " skipped" not in ran.stdout
