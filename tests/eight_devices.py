"""Runs a file of tests where there are eight devices: a process of its own.

How many devices a CPU pretends to have is settled when jax starts, so it cannot be a fixture.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLAG = "--xla_force_host_platform_device_count=8"


def assert_holds(tests: Path, *arguments: str) -> None:
    """Every test of the file passes, and none is skipped.

    Args:
        tests: the file.
        arguments: of pytest, beside it.
    """
    plain = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *plain, *arguments, tests],
        env={
            **os.environ,
            "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {FLAG}",
            "JAX_PLATFORMS": "cpu",
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " skipped" not in ran.stdout
