"""Weights & Biases offline, as the real client writes it, and what becomes of a run without it."""

import io
import sys

import pytest

from gmsdi_jax.errors import UnavailableError
from gmsdi_jax.train import train
from gmsdi_jax.train.observe.weights_and_biases import WeightsAndBiases

CANARY = "canary0123456789canary0123456789canary01"


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No login of this machine's user, and nothing in their folders."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "settings"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))


class Failing:
    """Stands for a client whose service died."""

    def __getattr__(self, name):
        def act(*arguments, **options):
            raise BrokenPipeError(f"{name}: the service is gone")

        return act


def test_offline_rows_sound_and_no_key_anywhere(tmp_path, monkeypatch, sample):
    """One id for all starts of a run; the key is in none of its files."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", CANARY)
    out, said = tmp_path / "run", []
    out.mkdir()
    for resumed in (False, True):
        writer = WeightsAndBiases("p", out, {"seed": 1}, resumed=resumed, on_event=said.append)
        writer.write(10, {"loss": 0.5})
        writer.show(10, [sample()])
        writer.close()
    assert said == []
    name = (out / "wandb" / "id").read_text().strip()
    assert name.startswith("run-")
    runs = list((out / "wandb").glob("offline-run-*"))
    assert runs
    assert all(path.name.endswith(f"-{name}") for path in runs)
    records = b"".join(path.read_bytes() for path in (out / "wandb").rglob("*.wandb"))
    assert b"loss" in records
    files = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]


def test_a_new_run_without_login_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(UnavailableError, match=r"not logged in.*WANDB_MODE=offline") as error:
        WeightsAndBiases("p", tmp_path, {})
    assert error.value.exit_code == 4


def test_a_resumed_run_without_login_goes_on_offline(tmp_path):
    said = []
    writer = WeightsAndBiases("p", tmp_path, {}, resumed=True, on_event=said.append)
    writer.write(1, {"loss": 1.0})
    writer.close()
    assert len(said) == 1
    assert "wandb sync" in said[0]
    assert list((tmp_path / "wandb").glob("offline-run-*"))


def test_a_client_that_fails_later_is_left_out(tmp_path, monkeypatch, sample):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    said = []
    writer = WeightsAndBiases("p", tmp_path, {}, on_event=said.append)
    writer._run = Failing()
    for step in range(3):
        writer.write(step, {"loss": 1.0})
        writer.show(step, [sample()])
    writer.close()
    assert len(said) == 1
    assert "going on without it" in said[0]


def test_train_logs_there_if_asked(config, batches, monkeypatch):
    """Every line of metrics.jsonl, with the times beside it."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    rows, write = [], WeightsAndBiases.write

    def noted(self, step, values):
        rows.append((step, values))
        write(self, step, values)

    monkeypatch.setattr(WeightsAndBiases, "write", noted)
    settings = config(wandb="project")
    train(settings, batches())
    assert [step for step, _ in rows] == [3, 6]
    assert {"loss", "gradient", "time/step"} <= set(rows[0][1])
