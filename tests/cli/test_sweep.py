"""``gmsdi sweep`` as a user meets it: what it lists and refuses, and a table in one command."""

from pathlib import Path

import numpy as np
import pytest

from gmsdi_jax.cli.experiment import declared
from gmsdi_jax.data import Settings, WholeTrack, write_split
from gmsdi_jax.sweep import Sweep

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
TABLE = """
from gmsdi_jax.sweep import Grid, Sweep

def sweep():
    return Sweep(
        title="a grid",
        axes={"method": ("direct", "project"), "guidance": (1.0, 2.0)},
        base={"steps": 2},
        table=Grid(rows="method", columns="guidance", paper={"direct": (1.5,)}),
        quick={"songs": 1, "seconds": 4.5, "guidance": (1.0,)},
    )
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("sweep"), np.random.default_rng(0)
    stems = (0.1 * rng.standard_normal((4, 6 * 22050))).astype(np.float32)
    settings = Settings(("Bass", "Drums", "Guitar", "Piano"), chunk=2**16, hop=1024, stems=True)
    for split in ("test", "validation"):
        write_split(root / split, settings, [WholeTrack(f"T{n}", stems / (n + 1)) for n in (0, 1)])
    return root


@pytest.fixture
def call(gmsdi, model, shards, tmp_path):
    (tmp_path / "table.py").write_text(TABLE)

    def run(*arguments):
        return gmsdi("sweep", tmp_path / "table.py", "--data", shards, "-m", model,
                     "--store", tmp_path / "store", *arguments)  # fmt: skip

    return run


def test_cells_are_listed_without_being_computed(call, tmp_path):
    ran = call("--dry-run")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert len(lines) == 3 + 4
    assert lines[-1].endswith("2 missing             project, 2")
    assert len(call("--dry-run", "--quick").out.splitlines()) == 3 + 2
    assert not (tmp_path / "store").exists()


@pytest.mark.slow  # it compiles; tests/sweep holds the same with a separator that need not
def test_a_table_by_one_command(call, tmp_path):
    """On stdout and in the file; a second call computes nothing."""
    ran = call("--quick", "-o", tmp_path / "table.md")
    assert ran.code == 0, ran.err
    assert "| direct" in ran.out
    assert " / 1.50 |" in ran.out
    assert (tmp_path / "table.md").read_text() == ran.out
    again = call("--quick")
    assert again.out == ran.out
    assert "5 cells, 5 are there already; 0 parts to compute" in again.err


def test_what_is_wrong_is_one_line(call, gmsdi, shards, tmp_path):
    (tmp_path / "other.py").write_text("def config(): ...")
    for ran, said in (
        (gmsdi("sweep", tmp_path / "none.py"), "none.py does not exist"),
        (gmsdi("sweep", tmp_path / "other.py"), "has no attribute 'sweep'"),
        (call("--songs", 0), "--songs is 0: take more than 0"),
        (call("--data", shards / "test"), "is one split: name the folder above it"),
    ):
        assert ran.code == 2
        assert said in ran.err
        assert len(ran.err.splitlines()) <= 2


FILES = [
    path for path in sorted(EXPERIMENTS.rglob("*.py")) if "def sweep() -> Sweep" in path.read_text()
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_sweep_that_ships_can_be_read(path):
    """Its cells, and those of --quick, which are no more; its docstring says how to run it."""
    sweep = declared(path, "sweep", Sweep)
    assert 0 < len(sweep.quickly().cells) <= len(sweep.cells)
    text = path.read_text()
    for word in ("gmsdi sweep experiments/", "--quick", "Expected", "hours"):
        assert word in text
