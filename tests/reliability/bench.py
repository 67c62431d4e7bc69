"""A tiny real training and the processes that do it, watched and hurt from outside.

The model trains in milliseconds a step, the data are three tracks of noise in real shards, and a
process is ``gmsdi train`` itself. What a run did is read from its folder alone: the lines of
``metrics.jsonl``, which hold floats exactly, and the digests that its last checkpoint holds of
every array. No gate asks the code that it tests.
"""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gmsdi_jax.data import Settings, WholeTrack, write_split

ROOT = Path(__file__).resolve().parents[2]
LABELS = ("Bass", "Drums", "Guitar", "Piano")
STEPS, SAVE_EVERY = 60, 5
PATIENCE = 300.0  # seconds, for anything that takes seconds
EXPERIMENT = f"""
from pathlib import Path
from gmsdi_jax.config import ModelConfig, OptimizerConfig, TrainConfig
from gmsdi_jax.models import SpectralConfig

def config():
    network = SpectralConfig(width=16, dilations=(1,), components=4, fft=256, fine_bins=64)
    return TrainConfig(
        data=Path("shards"), out=Path("run"), model=ModelConfig(network=network, window=2**12),
        optimizer=OptimizerConfig(rate=1e-3, warmup=5), window=2**12, batch=4, steps={STEPS},
        log_every=1, save_every={SAVE_EVERY}, eval_every=0, null=0.2,
    )
"""


class Outcome(NamedTuple):
    """What a gate found: whether it holds, what was done, and the numbers."""

    passed: bool
    done: str
    result: str


class Ended(NamedTuple):
    """A process that has ended."""

    code: int
    out: str
    err: str


def write_noise(folder: Path) -> None:
    """Three tracks of noise in shards."""
    rng = np.random.default_rng(0)
    stems = (0.1 * rng.standard_normal((3, len(LABELS), 2**15))).astype(np.float32)
    whole = [WholeTrack(f"T{n}", each) for n, each in enumerate(stems)]
    write_split(folder, Settings(LABELS, chunk=2**13, hop=256), whole)


def until(what: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Waits until `what()` is true.

    Raises:
        TimeoutError: it was not in time.
    """
    last = time.monotonic() + seconds
    while not what():
        if time.monotonic() > last:
            raise TimeoutError(f"not within {seconds:.0f} s")
        time.sleep(0.005)


class Bench:
    """A folder with an experiment, its data, a compile cache, and any number of runs."""

    def __init__(self, folder: Path, minutes: float = math.inf):
        """Makes the data; the folder is there and empty. After `minutes` nothing is repeated."""
        self.folder = folder
        self._last = time.monotonic() + 60 * minutes
        write_noise(folder / "shards" / "train")
        (folder / "tiny.py").write_text(EXPERIMENT)
        program = folder / "gmsdi"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m gmsdi_jax "$@"\n')
        program.chmod(0o755)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "XLA_FLAGS"},
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
            "JAX_PERSISTENT_COMPILATION_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        self._number = 0

    def enough(self, done: int, most: int) -> bool:
        """Whether a gate was repeated as often as it should be, or as there is time for."""
        return done >= most or (done > 0 and time.monotonic() > self._last)

    def out(self, name: str) -> Path:
        """A folder for a new run."""
        self._number += 1
        return self.folder / f"{name}-{self._number}"

    def start(self, out: Path, *flags: str, **more: str) -> subprocess.Popen[str]:
        """One process of ``gmsdi train``; `more` are variables of its environment."""
        words = ["train", "tiny.py", "--out", str(out), "--resume", "auto", "-q", *flags]
        return self._popen([str(self.folder / "gmsdi"), *words], more)

    def launch(self, out: Path, *flags: str, **more: str) -> subprocess.Popen[str]:
        """Two processes by launch/local.sh, of which this is the launcher."""
        variables = {
            **{"EXPERIMENT": "tiny.py", "DATA": "shards", "OUT": str(out), "PROCESSES": "2"},
            **{"GMSDI": str(self.folder / "gmsdi"), "PYTHON": sys.executable},
        }
        command = ["bash", str(ROOT / "launch" / "local.sh"), "--", "-q", *flags]
        return self._popen(command, variables | more)

    def _popen(self, command: list[str], more: dict[str, str]) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment | more, stdout=pipe, stderr=pipe,
            text=True,
        )  # fmt: skip

    def whole(self, *flags: str, launched: bool = False) -> "Curve":
        """The curve of a run that nothing happened to."""
        out = self.out("whole")
        ended = finish((self.launch if launched else self.start)(out, *flags))
        assert ended.code == 0, ended.err
        return curve(out)


class Curve(NamedTuple):
    """What a finished run is compared by."""

    lines: str
    digests: str


def curve(out: Path) -> Curve:
    """The metrics, byte for byte, and the digests of all arrays in the last checkpoint."""
    last = committed(out)
    manifest = json.loads((out / "checkpoints" / str(last) / "manifest/metadata").read_text())
    return Curve((out / "metrics.jsonl").read_text(), json.dumps(manifest["leaves"]))


def committed(out: Path) -> int:
    """The newest complete checkpoint, or 0."""
    try:
        names = os.listdir(out / "checkpoints")
    except OSError:
        return 0
    return max((int(name) for name in names if name.isdigit()), default=0)


def leftovers(out: Path) -> list[str]:
    """What lies beside complete checkpoints."""
    return [name for name in os.listdir(out / "checkpoints")
            if not name.isdigit() and name != ".lock"]  # fmt: skip


def last_step(out: Path) -> int:
    """The step of the last whole line of metrics.jsonl, or 0."""
    try:
        whole = (out / "metrics.jsonl").read_bytes().rpartition(b"\n")[0]
        return json.loads(whole.rpartition(b"\n")[2])["step"] if whole else 0
    except OSError:
        return 0


def losses(lines: str) -> dict[int, float]:
    """Loss by step."""
    return {line["step"]: line["loss"] for line in map(json.loads, lines.splitlines())}


def finish(process: subprocess.Popen[str], seconds: float = PATIENCE) -> Ended:
    """Waits for the end; a process that does not come to one is killed, which its code says."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    return Ended(process.returncode, out, err)


def children(pid: int) -> list[int]:
    """The processes that a process started, and theirs."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *children(child)]
    return found


def ranks(pid: int) -> list[int]:
    """The trainers below a launcher, in the order of their start."""
    found = []
    for child in children(pid):
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"gmsdi_jax" in words:
            found.append(child)
    return found


@contextmanager
def marked() -> Iterator[tuple[dict[str, str], Callable[[], list[int]]]]:
    """A variable for the environment of processes, and a function that finds those that have it."""
    mark = f"GMSDI_MARK_{time.monotonic_ns()}"

    def alive() -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark.encode() in path.read_bytes():
                    found.append(int(path.parts[2]))
            except OSError:
                continue
        return found

    yield {mark: "1"}, alive


def going(process: subprocess.Popen[str], out: Path) -> int | None:
    """Waits until a start of a run that has checkpoints makes steps; where it went on from.

    A start cuts the metrics off there and then compiles for a second, so the lowest last step that
    is seen is the one. None where it ended before that was seen.
    """
    lowest = last_step(out)
    while process.poll() is None:
        step = last_step(out)
        if step > lowest:
            return lowest
        lowest = min(lowest, step or lowest)  # a file being rewritten seems empty for a moment
        time.sleep(0.003)
    return None
