"""Launchers run as a user runs them: their own process, a bare environment, a secret in it.

Everything that a launcher says is searched for that secret, in every test.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
STANDIN = Path(__file__).with_name("standin.py")
CANARY = "canary-5f7c0d91"


class Ran(NamedTuple):
    """What a program returned and said."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def program() -> Callable[[Path, Path], Path]:
    """A function that makes a program of a Python script, for the Python of the tests."""

    def program(path: Path, script: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\nexec {sys.executable} -I {script} "$@"\n')
        path.chmod(0o755)
        return path

    return program


@pytest.fixture
def standin(tmp_path: Path, program: Callable[[Path, Path], Path]) -> Path:
    """A folder for the PATH in which `gmsdi` is the stand-in of this folder."""
    return program(tmp_path / "bin" / "gmsdi", STANDIN).parent


@pytest.fixture
def leaks() -> Callable[[Path], list[Path]]:
    """A function that finds the files of a folder that hold the secret."""

    def leaks(folder: Path) -> list[Path]:
        paths = [Path(at) / name for at, _, names in os.walk(folder) for name in names]
        return [path for path in paths if path.is_file() and CANARY.encode() in path.read_bytes()]

    return leaks


@pytest.fixture
def environment(tmp_path: Path, standin: Path) -> dict[str, str]:
    """What a launcher finds in its environment: little, and a secret."""
    return {
        "PATH": f"{standin}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PYTHON": sys.executable,
        "WANDB_API_KEY": CANARY,
        "EXPERIMENT": "experiments/minislakh_tiny.py",
        "DATA": "data",
        "OUT": str(tmp_path / "out"),
    }


@pytest.fixture
def launch(environment: dict[str, str], tmp_path: Path) -> Callable[..., Ran]:
    """Runs a launcher: variables by keyword (None: not set), flags of gmsdi train as `flags`."""

    def launch(name: str, *words: str, flags: tuple[str, ...] = (), root: Path = ROOT, **variables):
        settings = {**environment, **variables}
        command = ["bash", f"launch/{name}", *words, *(["--", *flags] if flags else [])]
        ran = subprocess.run(
            command,
            env={key: value for key, value in settings.items() if value is not None},
            cwd=root,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert CANARY not in ran.stdout + ran.stderr
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    return launch
