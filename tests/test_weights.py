"""A model's folder: what is written comes back, and damage has a name."""

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.arrays import flatten, unflatten
from gmsdi_jax.build import Model
from gmsdi_jax.config import FORMAT, ModelConfig
from gmsdi_jax.errors import OutputError, UnavailableError
from gmsdi_jax.models import SpectralConfig, TagsConfig
from gmsdi_jax.weights import load_model, save_model

CONFIG = ModelConfig(
    network=SpectralConfig(
        text_features=8, fft=256, fine_bins=64, width=16, dilations=(1, 2), components=3
    ),
    conditioner=TagsConfig(features=8),
    window=1024,
)


@pytest.fixture(scope="module")
def shapes():
    return Model(CONFIG).shapes


@pytest.fixture(scope="module")
def params(shapes):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda s: jnp.asarray(rng.standard_normal(s.shape), s.dtype), shapes)


def test_float32_comes_back_exactly(tmp_path, params, shapes):
    """Configuration and weights survive the disk to the bit, integer keys included."""
    save_model(tmp_path, CONFIG, params)
    config, loaded = load_model(tmp_path, shapes)
    assert config == CONFIG
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    jax.tree.map(assert_array_equal, loaded, params)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_half_precision_is_half_the_size_and_close(tmp_path, params, shapes):
    """float16 on disk: float32 in memory, every weight within 2^-11 of its value."""
    save_model(tmp_path / "half", CONFIG, params, dtype="float16")
    save_model(tmp_path / "full", CONFIG, params)
    _, loaded = load_model(tmp_path / "half", shapes)
    for half, full in zip(jax.tree.leaves(loaded), jax.tree.leaves(params), strict=True):
        assert half.dtype == np.float32
        assert_allclose(half, full, rtol=2**-11, atol=2**-25)
    size = {
        name: (tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "full")
    }
    assert size["half"] < 0.6 * size["full"]
    with pytest.raises(AssertionError):
        jax.tree.map(assert_array_equal, loaded, params)


def test_names_are_flat_and_readable(params):
    """List entries are numbers in the name; unflatten is the inverse of flatten."""
    flat = flatten(params)
    assert "network.blocks.1.conv.linear.kernel" in flat
    assert "conditioner.table.embedding" in flat
    again = unflatten(flat)
    assert set(again["network"]["blocks"]) == {0, 1}
    assert jax.tree.structure(again) == jax.tree.structure(params)
    jax.tree.map(assert_array_equal, again, params)


def test_missing_unknown_and_misshapen_weights_are_named(tmp_path, params, shapes):
    """Each kind of difference has its own words; the file is named."""
    flat = flatten(params)
    flat["network.colour"] = flat.pop("network.gate.bias")
    flat["network.gate.kernel"] = jnp.zeros((2, 3))
    save_model(tmp_path, CONFIG, unflatten(flat))
    with pytest.raises(UnavailableError) as error:
        load_model(tmp_path, shapes)
    message = str(error.value)
    assert "model.safetensors: does not fit its config.json" in message
    assert "network.gate.bias is missing" in message
    assert "network.colour is unknown" in message
    assert "network.gate.kernel has shape (2, 3), not (8, 3)" in message
    assert "more" not in message


def test_only_five_differences_are_listed(tmp_path, params, shapes):
    """A foreign file does not fill the screen: five names and how many more."""
    flat = flatten(params)
    kept = dict(list(flat.items())[:-8])
    save_model(tmp_path, CONFIG, unflatten(kept))
    with pytest.raises(UnavailableError, match=r"and 3 more$") as error:
        load_model(tmp_path, shapes)
    assert str(error.value).count("is missing") == 5


@pytest.mark.parametrize("bytes_left", [0, 4, 1000])
def test_truncated_weights_are_damaged(tmp_path, params, bytes_left):
    """A file cut short is reported as damaged; exit code 4."""
    save_model(tmp_path, CONFIG, params)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:bytes_left])
    with pytest.raises(UnavailableError, match="damaged or unreadable"):
        load_model(tmp_path)


def test_missing_weights_are_named(tmp_path, params):
    """config.json alone is no model."""
    save_model(tmp_path, CONFIG, params)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UnavailableError, match=r"model.safetensors: missing"):
        load_model(tmp_path)


def test_folder_that_cannot_be_written(tmp_path, params):
    """A file where the folder should be: OutputError, exit code 74."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match=r"taken.*cannot write the model") as error:
        save_model(tmp_path / "taken" / "model", CONFIG, params)
    assert error.value.exit_code == 74


def test_weights_that_cannot_be_written(tmp_path, params):
    """What safetensors reports (a full disk, a folder in the way) is an OutputError too."""
    (tmp_path / "model.safetensors.part").mkdir()
    with pytest.raises(OutputError, match="cannot write the weights"):
        save_model(tmp_path, CONFIG, params)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_read_only_folder(tmp_path, params):
    """No permission to write is an OutputError too."""
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot write the model"):
        save_model(tmp_path / "model", CONFIG, params)
    tmp_path.chmod(0o700)


def test_saving_again_replaces_the_weights_in_one_step(tmp_path, params):
    """The second model is there whole, and nothing of the writing is left over."""
    save_model(tmp_path, CONFIG, params)
    doubled = jax.tree.map(lambda leaf: 2 * leaf, params)
    save_model(tmp_path, CONFIG, doubled)
    jax.tree.map(assert_array_equal, load_model(tmp_path)[1], doubled)
    assert not list(tmp_path.glob("*.part"))
    assert json.loads((tmp_path / "config.json").read_text())["format"] == FORMAT
