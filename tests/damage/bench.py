"""Runs a command over a damaged copy of a source and compares it with the run over a whole one."""

import hashlib
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from damage.case import Case
from gmsdi_jax.cli import main
from gmsdi_jax.data import MANIFEST, open_split

MOST = 500
"""Characters of a line on stderr, with the paths of pytest in it."""


@dataclass
class Bench:
    """One command, and what it makes of sources that nobody damaged."""

    command: tuple[str, ...]
    options: tuple[str, ...]
    root: Path
    """Holds ``source`` and, beside it, ``outside``."""
    whole: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)
    """The tracks by split/name, by further options of the command."""

    def expected(self, options: tuple[str, ...]) -> dict[str, Any]:
        """All tracks of the source as it is."""
        if options not in self.whole:
            out = self.root / f"out{len(self.whole)}"
            source = self.root / "source"
            assert main([*self.command, str(source), str(out), *self.options, *options]) == 0
            self.whole[options] = tracks(out)
        return self.whole[options]

    def check(self, case: Case, place: Path, captured: Callable[[], Any]) -> None:
        """Damages a copy in an empty folder, runs the command, and holds it to the case.

        ``captured`` gives what was written to stdout and stderr since it was called last.
        """
        expected = self.expected(case.options)
        for name in ("source", "outside"):
            shutil.copytree(self.root / name, place / name, symlinks=True)
        case.do(place / "source")
        before, out = snapshot(place), place / "out"
        captured()
        arguments = (*self.command, place / "source", out, *self.options, *case.options)
        code = main([str(argument) for argument in arguments])
        said = captured()
        assert code == case.code, said.err
        check_lines(said.err, case)
        assert snapshot(place, but="out") == before
        if not case.made:
            assert not out.exists() or not list(out.rglob("*"))
            return
        assert_equal(tracks(out), {k: v for k, v in expected.items() if k not in case.lost})
        assert_told(out, case)
        assert not leftovers(out)


def check_lines(err: str, case: Case) -> None:
    """One clear line for the damage, and nothing else on stderr."""
    lines = err.splitlines()
    assert len(lines) == case.lines, err
    for line in lines:
        assert line.startswith("gmsdi: error: "), err
        assert len(line) < MOST, line
        assert line.isprintable()
    for fragment in case.says:
        assert any(fragment in line for line in lines), f"{fragment!r} not in {err}"


def tracks(out: Path) -> dict[str, Any]:
    """What was prepared: the records, levels and labels of each track, by split/name."""
    found = {}
    for manifest in sorted(out.glob(f"*/{MANIFEST}")):
        split = open_split(manifest.parent, verify=True)
        for entry, track in zip(split.manifest.tracks, split.tracks(), strict=True):
            key = f"{manifest.parent.name}/{track.name}"
            found[key] = (track.mixture, track.levels, track.stems, entry.labels, entry.gain)
    return found


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """The same tracks, sample for sample."""
    assert found.keys() == expected.keys()
    for name, track in expected.items():
        for got, wanted in zip(found[name], track, strict=True):
            np.testing.assert_array_equal(got, wanted, err_msg=name)


def assert_told(out: Path, case: Case) -> None:
    """What is not there stands in the manifest, so that later runs know it too."""
    for lost in case.lost:
        split, _, name = lost.partition("/")
        if (out / split / MANIFEST).exists():
            manifest = open_split(out / split).manifest
            told = [*manifest.damaged, *manifest.missing]
            # A shard that cannot be opened takes its samples with it.
            assert any(name == other or name.startswith(f"{other}/") for other in told)


def leftovers(out: Path) -> list[Path]:
    """Temporary files that a finished run must not leave."""
    done = [path.parent for path in out.glob(f"*/{MANIFEST}")]
    return [path for folder in done for path in folder.iterdir() if path.name.startswith(".")]


def snapshot(root: Path, but: str = "") -> dict[str, Any]:
    """Every file below a folder, but one: its kind, its time, and its bytes or where it points."""
    found: dict[str, Any] = {}
    for folder, folders, files in os.walk(root):
        if Path(folder) == root:
            folders[:] = [name for name in folders if name != but]
        for name in (*folders, *files):
            path = Path(folder, name)
            state = path.lstat()
            content: str | None = None
            if stat.S_ISLNK(state.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(state.st_mode) and os.access(path, os.R_OK):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            time = None if stat.S_ISDIR(state.st_mode) else state.st_mtime_ns
            found[path.relative_to(root).as_posix()] = (stat.S_IFMT(state.st_mode), time, content)
    return found
