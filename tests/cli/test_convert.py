"""`gmsdi convert` and `gmsdi export`: folders that the library loads, and files that it wrote."""

import json
import shutil

import numpy as np
import pytest
from convert.small import checkpoint, prefixed, small
from encoders.tiny import t5_tokenizer
from numpy.testing import assert_array_equal
from safetensors.numpy import load_file

from gmsdi_jax.arrays import flatten, read_metadata
from gmsdi_jax.build import Model
from gmsdi_jax.convert import write_state
from gmsdi_jax.convert.files import read_weights
from gmsdi_jax.encoders import T5Encoder, load_encoder
from gmsdi_jax.weights import load_model


@pytest.fixture
def t5(tmp_path):
    """A folder of Hugging Face's with a tokenizer."""
    folder = tmp_path / "t5-tiny"
    checkpoint(folder / "model.safetensors", "t5")
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))
    t5_tokenizer(folder)
    return folder


def test_an_encoder_with_its_tokenizer(gmsdi, t5, tmp_path):
    """The folder is the only word on stdout, and answers prompts."""
    out = tmp_path / "new" / "encoder"
    ran = gmsdi("convert", t5, "-o", out)
    assert (ran.code, ran.out) == (0, f"{out}\n")
    assert "t5-tiny: a T5 encoder (t5), " in ran.err
    assert T5Encoder.from_folder(out)(["Bass, Drums"]).embedding.shape == (1, 64, 8)
    metadata = read_metadata(out / "model.safetensors")
    assert (metadata["source"], metadata["published_as"]) == ("model.safetensors", "t5")
    assert {path.name for path in out.parent.iterdir()} == {"encoder"}


def test_without_a_tokenizer_it_says_so(gmsdi, tmp_path):
    path = checkpoint(tmp_path / "t5.pt", "t5")
    ran = gmsdi("convert", path, "-o", tmp_path / "a")
    assert "no tokenizer beside the weights: name one with --tokenizer" in ran.err
    path = checkpoint(tmp_path / "vggish.pt", "vggish-torch")
    ran = gmsdi("convert", path, "-o", tmp_path / "b", "-q")
    assert (ran.code, ran.err) == (0, "")
    assert load_encoder(tmp_path / "b", "vggish").config == small("vggish-torch").config


def test_a_tokenizer_may_be_elsewhere(gmsdi, t5, tmp_path):
    """It is named by its folder; what it makes of a prompt does not change on the way."""
    path = checkpoint(tmp_path / "alone" / "t5.pt", "t5")
    out = tmp_path / "encoder"
    assert gmsdi("convert", path, "-o", out, "--tokenizer", t5).code == 0
    assert gmsdi("convert", t5, "-o", tmp_path / "beside").code == 0
    prompts = ["Bass, Drums", "a (slow) piano", ""]
    one, other = (T5Encoder.from_folder(folder)(prompts) for folder in (out, tmp_path / "beside"))
    np.testing.assert_array_equal(one.embedding, other.embedding)
    np.testing.assert_array_equal(one.mask, other.mask)


def test_a_tokenizer_that_cannot_be_had_is_named(gmsdi, tmp_path, monkeypatch):
    """One line, exit code 4, and no folder; for an encoder of audio it is a mistake."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = checkpoint(tmp_path / "t5.pt", "t5")
    ran = gmsdi("convert", path, "-o", tmp_path / "a", "--tokenizer", tmp_path / "nowhere")
    assert (ran.code, ran.err.count("\n")) == (4, 2)
    assert "nowhere: cannot be read (" in ran.err
    assert not (tmp_path / "a").exists()
    path = checkpoint(tmp_path / "vggish.pt", "vggish-torch")
    ran = gmsdi("convert", path, "-o", tmp_path / "b", "--tokenizer", "roberta-base")
    assert ran.code == 2
    assert "VGGish hears audio only" in ran.err


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_numbers_may_be_stored_in_half(gmsdi, tmp_path, dtype):
    path = checkpoint(tmp_path / "vggish.pt", "vggish-torch")
    assert gmsdi("convert", path, "-o", tmp_path / "half", "--dtype", dtype).code == 0
    stored = load_file(tmp_path / "half" / "model.safetensors")
    assert {str(array.dtype) for array in stored.values()} == {dtype}
    params = flatten(load_encoder(tmp_path / "half", "vggish").params)
    for name, array in small("vggish-torch").ours.items():
        np.testing.assert_allclose(params[name], array, rtol=2**-8, atol=1e-6)


@pytest.fixture
def msdm(tmp_path):
    """A joint model of MSDM's as safetensors, its settings in the config.json beside it."""
    folder = tmp_path / "msdm"
    checkpoint(folder / "model.safetensors", "msdm")
    told = {**small("msdm").told, "diffusion_sigma_data": 0.3}
    (folder / "config.json").write_text(json.dumps(told))
    return folder


def test_a_network_of_audio_becomes_a_model(gmsdi, msdm, tmp_path):
    """Four channels are MSDM's four stems; what the file tells of the diffusion is kept."""
    assert gmsdi("convert", msdm, "-o", tmp_path / "model").code == 0
    config, params = load_model(tmp_path / "model")
    assert config.labels == ("Bass", "Drums", "Guitar", "Piano")
    assert (config.sigma_data, config.limit, config.sample_rate) == (0.3, 1.0, 22050)
    flat, wanted = flatten(params), flatten(Model(config).shapes)
    assert flat.keys() == wanted.keys()
    for name, array in small("msdm").ours.items():
        assert_array_equal(flat[name], array)
    assert gmsdi("models", tmp_path / "model").code == 0
    ran = gmsdi("convert", msdm, "-o", tmp_path / "b", "-s", "Bass", "-s", "Drums")
    assert ran.code == 2
    assert "the network has 4 channels and 2 names" in ran.err
    assert not (tmp_path / "b").exists()


def test_a_network_that_hears_text(gmsdi, tmp_path):
    """Its table for "no text" is the conditioner's null, with as many tokens."""
    folder = tmp_path / "adp"
    checkpoint(folder / "model.safetensors", "adp-0.0.43")
    (folder / "config.json").write_text(json.dumps(small("adp-0.0.43").told))
    ran = gmsdi("convert", folder, "-o", tmp_path / "model", "-s", "Oud", "-s", "Ney")
    assert ran.code == 0
    assert "note: sigma_data is taken to be 0.2" in ran.err
    config, params = load_model(tmp_path / "model")
    assert config.conditioner.tokens == 5
    assert config.labels == ("Oud", "Ney")
    assert flatten(params).keys() == flatten(Model(config).shapes).keys()
    (folder / "config.json").write_text(json.dumps({"diffusion_type": "v"}))
    ran = gmsdi("convert", folder, "-o", tmp_path / "v")
    assert ran.code == 4
    assert "trained with diffusion_type 'v'" in ran.err


def test_nothing_is_written_over_unasked(gmsdi, t5, tmp_path):
    """With --force the model is replaced, other files are left; the source never is."""
    out = tmp_path / "out"
    assert gmsdi("convert", t5, "-o", out).code == 0
    (out / "notes.txt").write_text("mine")
    other = checkpoint(tmp_path / "vggish.pt", "vggish-torch")
    ran = gmsdi("convert", other, "-o", out)
    assert (ran.code, ran.out) == (2, "")
    assert "--force replaces" in ran.err
    assert gmsdi("convert", other, "-o", out, "--force").code == 0
    assert load_encoder(out, "vggish")
    assert (out / "notes.txt").read_text() == "mine"
    for arguments in ([t5, "-o", t5, "--force"], [other, "-o", tmp_path, "--force"]):
        ran = gmsdi("convert", *arguments)
        assert ran.code == 2
        assert "the published weights are here" in ran.err
    assert gmsdi("convert", other, "-o", tmp_path / "vggish.pt", "--force").code == 2


def test_failures_leave_nothing_behind(gmsdi, tmp_path, monkeypatch):
    """Damaged weights, unknown flags, a disk that is full."""
    path = checkpoint(tmp_path / "vggish.pt", "vggish-torch")
    (tmp_path / "cut.pt").write_bytes(path.read_bytes()[:-100])
    before = sorted(tmp_path.iterdir())
    for arguments, code, said in (
        (["cut.pt"], 4, "cut.pt: damaged, or cut off"),
        (["gone.pt"], 4, "gone.pt: no such file"),
        (["vggish.pt", "--format", "t5"], 4, "does not fit a T5 encoder"),
        (
            ["vggish.pt", "--format", "clap-layon"],
            2,
            "'clap-layon' is unknown: did you mean clap-laion?",
        ),
        (["vggish.pt", "--key", "ema"], 2, "no weights below 'ema'"),
    ):
        name, *flags = arguments
        ran = gmsdi("convert", tmp_path / name, "-o", tmp_path / "out", *flags)
        assert (ran.code, ran.out) == (code, "")
        assert said in ran.err
        assert len(ran.err.splitlines()) == 1

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gmsdi_jax.arrays.save_file", full)
    ran = gmsdi("convert", path, "-o", tmp_path / "out")
    assert ran.code == 74
    assert "No space left" in ran.err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["t5.pt", "t5.safetensors"])
def test_export_gives_back_what_came(gmsdi, t5, tmp_path, name):
    """To the bit, under the names that it came with."""
    gmsdi("convert", t5, "-o", tmp_path / "encoder")
    ran = gmsdi("export", tmp_path / "encoder", "-o", tmp_path / name)
    assert (ran.code, ran.out) == (0, f"{tmp_path / name}\n")
    found = read_weights(tmp_path / name).arrays
    assert found.keys() == prefixed("t5").keys()
    for key, array in prefixed("t5").items():
        assert found[key].tobytes() == array.tobytes()
    ran = gmsdi("export", tmp_path / "encoder", "-o", tmp_path / name)
    assert ran.code == 2
    assert "--force" in ran.err
    assert gmsdi("export", tmp_path / "encoder", "-o", tmp_path / name, "--force").code == 0


def test_a_model_can_be_exported_and_read_again(gmsdi, msdm, tmp_path):
    """A network by its own names, which do not begin with MSDM's prefix."""
    gmsdi("convert", msdm, "-o", tmp_path / "model")
    ran = gmsdi("export", tmp_path / "model", "-o", tmp_path / "x" / "model.safetensors")
    assert ran.code == 0
    shutil.copy(msdm / "config.json", tmp_path / "x")
    assert gmsdi("convert", tmp_path / "x", "-o", tmp_path / "again").code == 0
    first, second = (flatten(load_model(tmp_path / name)[1]) for name in ("model", "again"))
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_what_cannot_be_exported(gmsdi, model, t5, tmp_path):
    """Our own network has no published names; a folder's names may be asked for, not invented."""
    ran = gmsdi("export", model, "-o", tmp_path / "x.pt")
    assert ran.code == 2
    assert "its network is published nowhere else" in ran.err
    gmsdi("convert", t5, "-o", tmp_path / "encoder")
    ran = gmsdi("export", tmp_path / "encoder", "-o", tmp_path / "x.pt", "--format", "vggish-torch")
    assert ran.code == 2
    assert "take another --format" in ran.err
    folder = tmp_path / "encoder"
    write_state(folder / "model.safetensors", load_file(folder / "model.safetensors"))
    ran = gmsdi("export", folder, "-o", tmp_path / "x.pt")
    assert ran.code == 2
    assert "add --format" in ran.err
    assert gmsdi("export", folder, "-o", tmp_path / "x.pt", "--format", "t5").code == 0
    assert gmsdi("export", tmp_path / "gone", "-o", tmp_path / "y.pt").code == 4
