"""The experiments on MiniSlakh: numbers on what is known, and a tiny model from first to last."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import minislakh_generation as generation
from experiments import minislakh_recipe as recipe
from experiments import minislakh_selection as selection
from experiments.minislakh_base import config as base
from experiments.minislakh_cpu import config as cpu
from gmsdi_jax.build import Model
from gmsdi_jax.cli.experiment import declared
from gmsdi_jax.cli.options import parse
from gmsdi_jax.cli.train import Train
from gmsdi_jax.config import ModelConfig, TrainConfig, to_json
from gmsdi_jax.data import FixedWindows, Settings, WholeTrack, write_split
from gmsdi_jax.models import SpectralConfig, TagsConfig
from gmsdi_jax.train.averages import save_snapshots
from gmsdi_jax.weights import save_model

RATE, LABELS = 22050, ("Bass", "Drums", "Guitar", "Piano")
TINY = ModelConfig(
    network=SpectralConfig(
        text_features=8, fft=256, fine_bins=64, width=16, dilations=(1,), components=4
    ),
    conditioner=TagsConfig(features=8),
    window=2**14,
)


def bands(seed: int, seconds: int = 12) -> np.ndarray:
    """Stems that are noise in four bands, of which one rests by turns."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal((4, seconds * RATE)))
    hz = np.fft.rfftfreq(seconds * RATE, 1 / RATE)
    edges = (0, 500, 2000, 5000, RATE)
    for k in range(4):
        spectrum[k, (hz < edges[k]) | (hz >= edges[k + 1])] = 0
    stems = np.fft.irfft(spectrum)
    stems *= 0.08 / stems.std(1, keepdims=True)
    for k in range(4):
        stems[k, k * 3 * RATE : (k + 1) * 3 * RATE] = 0
    return stems.astype(np.float32)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Validation and test songs in which every class sounds, and rests."""
    folder = tmp_path_factory.mktemp("bands")
    settings = Settings(LABELS, sample_rate=RATE, chunk=2**16, stems=True)
    for number, name in enumerate(("validation", "test")):
        songs = [WholeTrack(f"{name} {n}", bands(10 * number + n)) for n in range(4)]
        write_split(folder / name, settings, songs)
    return folder


@pytest.fixture(scope="module")
def weights():
    """Of the tiny model, at random."""
    rng = np.random.default_rng(0)

    def draw(like):
        return jnp.asarray(rng.standard_normal(like.shape) / np.sqrt(like.shape[0]), like.dtype)

    return jax.tree.map(draw, Model(TINY).shapes)


@pytest.mark.parametrize("name", list(recipe.VARIANTS))
def test_every_variant_is_a_run_of_its_own(name):
    """Its flags are read, and but for the recipe they change something."""
    default = Train(
        experiment=recipe.EXPERIMENT, config=declared(recipe.EXPERIMENT, "config", TrainConfig)
    )
    flags = recipe.VARIANTS[name][1]
    found = parse(Train, "train", [str(recipe.EXPERIMENT), *flags], default).config
    assert (found == cpu()) == (name == "recipe")


def test_the_recipes_table(tmp_path, monkeypatch, capsys):
    """Scores against the recipe's; what is complete is read, and what fails is named."""
    scores = {"recipe": 6.0, "paper": 2.5}

    def fake(command, check):
        out = Path(command[command.index("--out") + 1])
        if out.name == "high":
            raise subprocess.CalledProcessError(70, command)
        out.mkdir(parents=True)
        line = {"step": 100, "score": scores[out.name], **dict.fromkeys(LABELS, 1.0)}
        (out / "metrics.jsonl").write_text('{"step": 50, "loss": 1}\n' + json.dumps(line) + "\n")

    monkeypatch.setattr(recipe.subprocess, "run", fake)
    command = ["--data", "shards", "--runs", str(tmp_path), "--steps", "100", "--only"]
    assert recipe.main([*command, "recipe", "paper"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0] == "| variant | SI-SDRi, dB | against the recipe | Bass | Drums | Guitar | Piano |"
    )
    assert lines[2].startswith("| the recipe | 6.00 | - | 1.00 |")
    assert lines[3].startswith("| the paper's: no mixing of mixtures | 2.50 | -3.50 |")
    assert recipe.main([*command, "recipe", "high"]) == 3  # no second training of what is there
    assert "error: high ended with exit code 70" in capsys.readouterr().err


def test_the_gap_of_labels_is_what_the_text_is_worth():
    """An answer that is right to 0.1 for the right text, and to 0.2 for any other: 6 dB."""
    rng = np.random.default_rng(0)
    presence = np.array([[1, 0], [0, 1], [1, 1]], bool)
    clean = rng.standard_normal((3, selection.LENGTH, 1)).astype(np.float32)
    right = {", ".join(np.array(["A", "B"])[p]): i for i, p in enumerate(presence)}
    core = SimpleNamespace(
        prompt=lambda texts: jnp.array([right[t] for t in texts]),
        embed=lambda params, prompt: prompt,
        denoiser=lambda params: (
            lambda x, sigma, text: (
                jnp.asarray(clean) + jnp.where(text == jnp.arange(3), 0.1, 0.2)[:, None, None]
            )
        ),
    )
    model = SimpleNamespace(model=core, labels=("A", "B"), params=None)
    windows = FixedWindows(clean, clean[:, None], presence, ("t",) * 3, (0,) * 3)
    gaps = selection.label_gaps(model, windows)  # type: ignore[arg-type]
    np.testing.assert_allclose(gaps, 20 * np.log10(2), rtol=1e-4)


def test_snapshots_are_scored_once(tmp_path, data, weights, capsys, monkeypatch):
    """A line each, the best named, and what was measured is read the next time."""
    monkeypatch.setattr(selection, "LENGTH", 2**13)
    (tmp_path / "config.json").write_text(json.dumps({"model": to_json(TINY)}))
    for step in (10, 20):
        save_snapshots(tmp_path / "averages", step, (0.05, 0.1), (weights, weights))
    command = [str(tmp_path), "--data", str(data / "validation"), "--songs", "4"]
    command += ["--draws", "2", "--steps", "3"]
    assert selection.main(command) == 0
    out = capsys.readouterr().out
    assert [line.split("|")[1].strip() for line in out.splitlines()[2:4]] == ["10", "20"]
    assert "best by the sampler: step" in out
    monkeypatch.setattr(selection, "measure", None)
    assert selection.main(command) == 0
    assert capsys.readouterr().out == out
    assert selection.main([str(tmp_path / "no"), "--data", str(data / "test")]) != 0


def test_tempo_and_key_of_what_is_known():
    """Clicks of 120 and of 90 per minute; chords of C major and of A minor."""
    t = np.arange(6 * RATE) / RATE
    for bpm in (120, 90):
        beats = t % (60 / bpm) < 0.02
        clicks = (beats * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)
        assert generation.tempo(clicks, RATE) == pytest.approx(bpm, rel=0.04)

    def chord(notes):
        return sum(np.sin(2 * np.pi * 440 * 2 ** ((n - 69) / 12) * t) for n in notes)

    scale = chord([60, 64, 67, 60, 64, 67, 72, 65, 69, 62, 71])
    assert generation.key(scale.astype(np.float32), RATE) == 0
    minor = chord([69, 72, 76, 57, 60, 64, 62, 71, 65])
    assert generation.key(minor.astype(np.float32), RATE) == 12 + 9


def test_pairs_that_are_the_same_agree():
    """And pairs that are shuffled do not."""
    t = np.arange(6 * RATE) / RATE
    songs = [
        ((t % (60 / bpm) < 0.02) * np.sin(2 * np.pi * hz * t)).astype(np.float32)
        for bpm, hz in ((84, 261.6), (105, 370.0), (140, 493.9))
    ]
    same = generation.agreement(songs, songs, RATE)
    assert (same[0], same[2]) == (1, 1)
    assert same[1] == 0
    assert same[3] < 1


def test_generation_from_first_to_last(tmp_path, data, weights, capsys):
    """Three tables; pieces are kept, and drawn once; a real stem is known for its class."""
    save_model(tmp_path / "model", TINY, weights)
    command = ["-m", str(tmp_path / "model"), "--data", str(data), "--out", str(tmp_path / "out")]
    command += ["--samples", "2", "--steps", "3", "--windows", "24", "--length", str(2**15)]
    command += ["--pairs", "Drums:Bass"]
    assert generation.main(command) == 0
    out = capsys.readouterr().out
    assert "| real stems of test songs, recognised % | 100.0 | 100.0 | 100.0 | 100.0 |" in out
    assert "| guided 2, against all others: silent % |" in out
    assert "| total generation |" in out
    assert "| Bass to Drums | 2 |" in out or "| Bass to Drums | 0 |" in out
    pieces = sorted((tmp_path / "out").rglob("*.wav"))
    made = [piece.stat().st_mtime_ns for piece in pieces]
    assert generation.main(command) == 0
    assert [piece.stat().st_mtime_ns for piece in pieces] == made
    assert capsys.readouterr().out == out
    assert generation.recognised(None, [np.zeros(RATE, np.float32)], "Bass", RATE) == 0  # type: ignore[arg-type]


def test_the_paper_network_of_the_gpu_experiment_is_whole():
    """Its window fits its factors, and nothing beyond the paper is on."""
    run = base()
    assert run.window % run.model.network.multiple == 0  # type: ignore[union-attr]
    assert (run.windows.mixing, run.windows.sums, run.windows.balance) == (0, 0, ())
    assert run.model.separation.method == "dirac"
