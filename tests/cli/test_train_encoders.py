"""``gmsdi train`` on the answers of a frozen encoder, and what its best model can do afterwards."""

import jax
import numpy as np
import pytest
from encoders.tiny import clap_folder, t5_folder
from safetensors.numpy import load_file

from gmsdi_jax.data import Settings, WholeTrack, write_split

LABELS = ("Bass", "Drums", "Guitar", "Piano")
EXPERIMENT = """
from pathlib import Path
from gmsdi_jax.config import ModelConfig, TrainConfig
from gmsdi_jax.models import ClapTextConfig, SpectralConfig, T5TextConfig

def config():
    network = SpectralConfig(
        width=16, dilations=(1,), components=4, fft=256, fine_bins=64, text_features={features}
    )
    model = ModelConfig(network=network, conditioner={conditioner}, window=2**12)
    return TrainConfig(
        data=Path("shards"), out=Path("run"), model=model, window=2**12, batch=2, steps=2, null=0.5,
        log_every=1, save_every=2, eval_every=2, eval_windows=2,
    )
"""
KINDS = {
    "t5": (8, "T5TextConfig(features=8, tokens=6)", t5_folder),
    "clap": (12, f"ClapTextConfig(labels={LABELS}, features=12, noise=0.3)", clap_folder),
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Two tracks of noise, in which two classes at a time play."""
    folder, rng = tmp_path_factory.mktemp("data") / "shards", np.random.default_rng(0)
    for split in ("train", "validation"):
        settings = Settings(LABELS, 22050, chunk=2**13, hop=256, stems=True)
        tracks = []
        for track in range(2):
            stems = 0.1 * rng.standard_normal((4, 2**13))
            stems[track::2] = 0
            tracks.append(WholeTrack(f"T{track}", stems.astype(np.float32)))
        write_split(folder / split, settings, tracks)
    return folder


@pytest.fixture(autouse=True)
def standard_promotion():
    """Optax raises floats to the power of the step: not strict."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture
def run(gmsdi, shards, tmp_path):
    """Trains a model on an encoder of this kind; further arguments follow."""

    def train(kind, *arguments):
        features, conditioner, _ = KINDS[kind]
        path = tmp_path / "tiny.py"
        path.write_text(EXPERIMENT.format(features=features, conditioner=conditioner))
        out = tmp_path / "run"
        return out, gmsdi("train", path, "--data", shards, "--out", out, *arguments)

    return train


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_on_frozen_embeddings(kind, run, gmsdi, noise, tmp_path):
    """It trains, and separates: its labels alone, other words with the encoder."""
    encoder = KINDS[kind][2](tmp_path / "encoder")
    out, ran = run(kind, "--encoder", encoder)
    assert ran.code == 0, ran.err
    best = load_file(out / "best" / "model.safetensors")
    assert {name for name in best if name.startswith("conditioner")} == {"conditioner.null"}
    song = noise(tmp_path / "song.wav", seconds=0.3)
    few = ("--method", "project", "--weights", "uniform", "--steps", 2)
    alone = gmsdi("separate", song, "-m", out / "best", "-o", tmp_path / "a", "-s", "Bass", *few)
    assert alone.code == 0, alone.err
    words = ("separate", song, "-m", out / "best", "-o", tmp_path / "b", "-s", "a violin", *few)
    refused = gmsdi(*words)
    assert refused.code == 4
    assert "--encoder" in refused.err
    assert gmsdi(*words, "--encoder", encoder).code == 0
    assert len(list((tmp_path / "b").rglob("*violin.wav"))) == 1


def test_the_encoder_must_be_named(run):
    """Before anything is computed; exit code 4."""
    out, ran = run("t5")
    assert ran.code == 4
    assert "--encoder" in ran.err
    assert not out.exists()


def test_a_run_goes_on_with_its_own_encoder(run, tmp_path):
    """Another one is refused, exit code 2: half of a run on other embeddings is neither's."""
    first, other = t5_folder(tmp_path / "first"), t5_folder(tmp_path / "other", seed=1)
    more = ("--resume", "auto", "--steps", 3, "--save-every", 1)
    assert run("t5", "--encoder", first)[1].code == 0
    _, ran = run("t5", "--encoder", other, *more)
    assert ran.code == 2
    assert "is not the one" in ran.err
    out, ran = run("t5", "--encoder", first, *more)
    assert ran.code == 0, ran.err
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 3


def test_a_model_on_embeddings_made_ahead_of_training(run, gmsdi, shards, tmp_path):
    """The same vectors as those made between the steps, and only their own encoder's."""
    encoder, other = clap_folder(tmp_path / "encoder"), clap_folder(tmp_path / "b", seed=1)
    arguments = ("data", "embed", shards, "--window", 2**12, "--name", "ours")
    ran = gmsdi(*arguments, "--encoder", encoder)
    assert ran.code == 0, ran.err
    assert ran.out.split() == [str(shards / s / "embeddings/ours") for s in ("train", "validation")]
    stored = ("--windows.embeddings", "ours", "--eval-every", 0)
    out, ran = run("clap", "--encoder", encoder, *stored)
    assert ran.code == 0, ran.err
    assert (out / "metrics.jsonl").read_text().count("loss") == 2
    _, ran = run("clap", "--encoder", other, *stored, "--out", tmp_path / "c")
    assert ran.code == 2
    assert "another encoder" in ran.err
    _, ran = run("t5", "--encoder", t5_folder(tmp_path / "t5"), *stored, "--out", tmp_path / "d")
    assert ran.code == 2
    assert "conditioned on clap" in ran.err
    assert gmsdi(*arguments, "--encoder", other).code == 2


def test_stored_embeddings_are_those_of_the_encoder(shards, tmp_path):
    from gmsdi_jax.data import open_embeddings, open_split, write_embeddings
    from gmsdi_jax.encoders import ClapEncoder

    encoder, split = ClapEncoder.from_folder(clap_folder(tmp_path)), open_split(shards / "train")

    def embed(audio):
        return np.asarray(encoder.audio(audio, 22050).embedding)[:, 0]

    write_embeddings(split, "whole", 2**13, encoder.digest, embed)
    stored = open_embeddings(split, "whole")
    for track in split.tracks():
        record = int(track.name[1:])
        expected = embed(track.mixture[:, 0][None])[0] if len(track.mixture) == 2**13 else None
        np.testing.assert_allclose(stored[record], expected, atol=1e-5)
