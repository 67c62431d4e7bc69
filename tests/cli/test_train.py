"""``gmsdi train``: a run that is stopped, however rudely, goes on as if it had not been."""

import io
import json
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr

import jax
import numpy as np
import pytest

from gmsdi_jax.cli import main
from gmsdi_jax.data import Settings, WholeTrack, write_split

LABELS = ("Bass", "Drums", "Guitar", "Piano")
EXPERIMENT = """
from pathlib import Path
from gmsdi_jax.config import ModelConfig, TrainConfig
from gmsdi_jax.data import WindowConfig
from gmsdi_jax.models import SpectralConfig

def config():
    network = SpectralConfig(width=16, dilations=(1,), components=4, fft=256, fine_bins=64)
    return TrainConfig(
        data=Path("shards"), out=Path("run"), model=ModelConfig(network=network, window=2**13),
        windows=WindowConfig(mixing=0.5, polarity=True), window=2**12, batch=2, steps=24,
        log_every=1, save_every=4, eval_every=24, eval_windows=2,
    )
"""


def write_noise(folder, labels=LABELS, sample_rate=22050):
    """Three tracks of noise, in which two classes at a time play."""
    rng = np.random.default_rng(0)
    settings = Settings(labels, sample_rate, chunk=2**13, hop=256, stems=True)
    tracks = []
    for track in range(3):
        stems = 0.1 * rng.standard_normal((len(labels), 2**14))
        stems[track % 2 :: 2] = 0
        tracks.append(WholeTrack(f"T{track}", stems.astype(np.float32)))
    write_split(folder, settings, tracks)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """An experiment file beside its data."""
    folder = tmp_path_factory.mktemp("train")
    for split in ("train", "validation"):
        write_noise(folder / "shards" / split)
    (folder / "tiny.py").write_text(EXPERIMENT)
    return folder / "tiny.py"


@pytest.fixture(autouse=True)
def standard_promotion():
    """Optax raises floats to the power of the step: not strict."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture
def train(gmsdi, experiment, tmp_path, monkeypatch):
    """Runs ``gmsdi train`` on the experiment; the run is ``tmp_path / "run"``."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: gmsdi(*command(experiment, *arguments))


def command(experiment, *arguments):
    return ["train", str(experiment), "--data", str(experiment.parent / "shards"), *arguments]


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole_run(experiment, tmp_path_factory):
    """The folder of a run that nothing interrupted, and what was said."""
    out, said = tmp_path_factory.mktemp("whole") / "run", io.StringIO()
    with jax.numpy_dtype_promotion("standard"), redirect_stderr(said):
        assert main(command(experiment, "--out", str(out))) == 0
    return out, said.getvalue()


def test_a_run_and_its_folder(train, whole_run):
    folder, said = whole_run
    assert "24 steps of 2 windows" in said
    assert "step 24: loss" in said
    assert [line["step"] for line in metrics(folder)] == list(range(1, 25))
    assert json.loads((folder / "config.json").read_text())["batch"] == 2
    assert (folder / "best/model.safetensors").exists()
    ran = train("--out", folder)
    assert (ran.code, ran.out) == (2, "")
    assert "--resume" in ran.err
    other = train("--out", folder, "--resume", "auto", "--batch", 3)
    assert other.code == 2
    assert "batch was 2, is 3" in other.err
    done = train("--out", folder, "--resume", "must")  # nothing is left to do
    assert (done.code, done.out) == (0, f"{folder}\n")
    assert len(metrics(folder)) == 24


def test_ctrl_c_says_how_to_go_on_and_resume_does(train, tmp_path, monkeypatch, whole_run):
    def interrupt(report, step, values):
        if step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gmsdi_jax.cli.train._Report.__call__", interrupt)
        ran = train()
    assert (ran.code, ran.out) == (130, "")
    assert "--resume" in ran.err
    assert len(metrics(tmp_path / "run")) == 4
    assert "--resume" in train().err
    assert train("--resume", "auto").code == 0
    assert metrics(tmp_path / "run") == metrics(whole_run[0])


def test_kill_9_and_resume_give_the_same_curve_bit_for_bit(train, experiment, tmp_path, whole_run):
    arguments = [sys.executable, "-m", "gmsdi_jax", *command(experiment, "-q")]
    process = subprocess.Popen(arguments, cwd=tmp_path)
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("run/checkpoints/[0-9]")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert 0 < len(metrics(tmp_path / "run")) < len(metrics(whole_run[0]))
    assert train("--resume", "auto").code == 0
    assert metrics(tmp_path / "run") == metrics(whole_run[0])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "does not exist"),
        ("def config(:", "SyntaxError"),
        ("x = 1", "config"),
        ("def config(): return 1", "int"),
        ("from nowhere import x", "nowhere"),
    ],
)
def test_an_experiment_that_is_none(gmsdi, tmp_path, text, says):
    path = tmp_path / "wrong.py"
    if text is not None:
        path.write_text(text)
    ran = gmsdi("train", path)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "wrong.py" in ran.err
    assert says in ran.err


def test_no_experiment_is_a_usage_error(gmsdi):
    ran = gmsdi("train", "--resume", "auto")
    assert ran.code == 2
    assert "experiment" in ran.err


def test_a_flag_that_contradicts_another_is_refused(train):
    ran = train("--model.sigma-data", 0.3)
    assert ran.code == 2
    assert "network.sigma_data" in ran.err


def test_data_that_is_missing_or_of_another_kind(train, tmp_path):
    ran = train("--data", tmp_path / "nowhere")
    assert ran.code == 4
    assert "gmsdi data slakh" in ran.err
    write_noise(tmp_path / "voices/train", labels=("Voice", "Drums"))
    ran = train("--data", tmp_path / "voices")
    assert ran.code == 2
    assert "Voice" in ran.err
    assert "Guitar" in ran.err
    write_noise(tmp_path / "slow/train", sample_rate=16000)
    ran = train("--data", tmp_path / "slow")
    assert ran.code == 2
    assert "16000" in ran.err
    assert "22050" in ran.err


def test_a_run_that_must_go_on_has_to_be_there(train, tmp_path):
    ran = train("--resume", "must")
    assert ran.code == 2
    assert "no run to resume" in ran.err
    assert not (tmp_path / "run").exists()
