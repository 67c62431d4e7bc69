"""``gmsdi average``: models of a run's averaged weights, and what is refused."""

import jax
import numpy as np
import pytest
from cli.test_train import EXPERIMENT, write_noise
from numpy.testing import assert_array_equal

from gmsdi_jax.cli import main
from gmsdi_jax.train.averages import average_of
from gmsdi_jax.train.checkpoint import Checkpoints
from gmsdi_jax.weights import load_model


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of eight steps with two snapshots of two averages."""
    folder = tmp_path_factory.mktemp("average")
    for split in ("train", "validation"):
        write_noise(folder / "shards" / split)
    (folder / "tiny.py").write_text(EXPERIMENT)
    command = ["train", folder / "tiny.py", "--data", folder / "shards", "--out", folder / "run"]
    command += ["--steps", 8, "--eval-every", 0, "--quiet"]
    command += ["--averages.widths", 0.05, 0.1, "--averages.every", 4]
    with jax.numpy_dtype_promotion("standard"):
        assert main([str(word) for word in command]) == 0
    return folder / "run"


def average(*arguments):
    return main(["average", *map(str, arguments)])


def test_the_usual_average(run, tmp_path, capsys):
    """That of the newest checkpoint, without its optimizer; it loads as any model does."""
    assert average(run, "-o", tmp_path / "model") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "model")
    config, params = load_model(tmp_path / "model")
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, np.float32), params)
    saved = Checkpoints(run / "checkpoints", write=False).restore_ema(shapes)
    jax.tree.map(assert_array_equal, params, saved)
    assert config.window == 2**13


@pytest.mark.parametrize("step", [None, 4])
def test_an_average_of_another_length(run, tmp_path, step):
    flags = ["--step", step] if step else []
    assert average(run, "--width", 0.08, *flags, "-o", tmp_path / "model") == 0
    _, params = load_model(tmp_path / "model")
    jax.tree.map(assert_array_equal, params, average_of(run / "averages", 0.08, step))


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        (["--step", 4], 2, "--step belongs to --width"),
        (["--width", 0.5], 2, "lies between 0 and 0.288"),
        (["--width", 0.1, "--step", 5], 2, "no snapshot of step 5: name one of 4, 8"),
    ],
)
def test_what_is_refused(run, tmp_path, flags, code, says, capsys):
    assert average(run, *flags, "-o", tmp_path / "model") == code
    [line] = capsys.readouterr().err.splitlines()
    assert says in line
    assert not (tmp_path / "model").exists()


def test_folders_that_will_not_do(run, tmp_path, capsys):
    assert average(tmp_path, "-o", tmp_path / "model") == 4
    assert "config.json is missing" in capsys.readouterr().err
    assert average(run, "-o", tmp_path) == 2
    assert "exists: name a new folder" in capsys.readouterr().err
