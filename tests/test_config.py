"""Configurations: what they refuse, and that JSON gives back what was saved."""

import json
from pathlib import Path

import pytest

from gmsdi_jax.config import (
    FORMAT,
    ModelConfig,
    TrainConfig,
    model_from_json,
    read_model_config,
    to_json,
)
from gmsdi_jax.data import WindowConfig
from gmsdi_jax.errors import ConfigError, UnavailableError
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.models import ClapTextConfig, SpectralConfig, T5TextConfig, TagsConfig, UNet1dConfig

MODELS = [
    ModelConfig(),
    ModelConfig(
        network=SpectralConfig(text_features=8, sigma_data=0.2, dilations=(1, 3), residual=True),
        conditioner=TagsConfig(labels=("Voice", "Rest"), features=8),
        sigma_data=0.2,
        sample_rate=16000,
        window=3000,
        separation=SeparationConfig(method="project", sigmas=(0.1,), filter=True),
    ),
    ModelConfig(network=UNet1dConfig.tiny(), window=256 * 10),
    ModelConfig(
        network=UNet1dConfig.tiny(32), conditioner=T5TextConfig(features=32, attend_padding=False)
    ),
    ModelConfig(network=UNet1dConfig.tiny(16), conditioner=ClapTextConfig(features=16, noise=0.1)),
]


@pytest.mark.parametrize("config", MODELS, ids=["default", "spectral", "unet1d", "t5", "clap"])
def test_model_survives_json(config):
    """Through text and back every field is equal, tuples included."""
    text = json.dumps({"format": FORMAT, **to_json(config)})
    assert model_from_json(json.loads(text)) == config


def test_models_of_the_first_format_are_read():
    """Format 1 had no kinds of conditioner: a file of that time is the same model today."""
    values = json.loads((Path(__file__).parent / "formats" / "model-1.json").read_text())
    assert values["format"] == 1
    assert "kind" not in values["conditioner"]
    config = model_from_json(values)
    assert config.conditioner == TagsConfig(features=values["conditioner"]["features"])
    assert config.separation.method == values["separation"]["method"]
    now = to_json(config)
    assert now["conditioner"].pop("kind") == "tags"
    assert values["separation"].items() <= now["separation"].items()  # new settings have defaults
    assert values["network"].items() <= now["network"].items()
    for part in ("conditioner", "sigma_data", "sample_rate", "window"):
        assert now[part] == values[part]


def test_json_is_plain_and_names_the_network():
    """Paths are strings, tuples are lists, and the network carries its kind."""
    config = TrainConfig(data=Path("shards"), out=Path("run"), windows=WindowConfig(mixing=0.5))
    values = to_json(config)
    assert json.loads(json.dumps(values)) == values
    assert values["data"] == "shards"
    assert values["model"]["network"]["kind"] == "spectral"
    assert to_json(MODELS[2])["network"]["kind"] == "unet1d"
    assert values["windows"]["gain_db"] == [0.0, 0.0]


def test_parts_must_agree():
    """Text sizes, sigma_data and the window's length are one number in two places."""
    with pytest.raises(ConfigError, match=r"text_features is 8 but conditioner.features is 64"):
        ModelConfig(network=SpectralConfig(text_features=8))
    with pytest.raises(ConfigError, match=r"network.sigma_data is 0.3 but sigma_data is 0.1"):
        ModelConfig(network=SpectralConfig(sigma_data=0.3))
    with pytest.raises(ConfigError, match=r"window is 1000 samples.*multiple of 256"):
        ModelConfig(network=UNet1dConfig.tiny(), window=1000)


@pytest.mark.parametrize("name", ["save_every", "eval_every"])
def test_intervals_are_multiples_of_the_log(name):
    """A resumed run logs the same lines only if it starts where a line ended."""
    with pytest.raises(ConfigError, match=f"{name} is 75: make it a multiple of log_every"):
        TrainConfig(data=Path(), out=Path(), **{name: 75})


def test_training_window_must_fit_the_network():
    """The U-Net halves its input: an odd training window is refused before any data is read."""
    unet = ModelConfig(network=UNet1dConfig.tiny(), window=256)
    with pytest.raises(ConfigError, match=r"window is 300.*multiple of 256"):
        TrainConfig(data=Path(), out=Path(), model=unet, window=300)


def test_labels_are_the_conditioners():
    """A model knows the stems that its conditioner knows."""
    assert MODELS[1].labels == ("Voice", "Rest")


def test_reads_what_is_there(tmp_path):
    """A folder's config.json becomes the configuration it was made from."""
    text = json.dumps({"format": FORMAT, **to_json(MODELS[1])})
    (tmp_path / "config.json").write_text(text)
    assert read_model_config(tmp_path) == MODELS[1]


def test_missing_file_names_the_folder(tmp_path):
    """No config.json: the message says what a model folder holds; exit code 4."""
    with pytest.raises(UnavailableError, match=r"no config.json here.*model.safetensors") as error:
        read_model_config(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert error.value.exit_code == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v | {"format": FORMAT + 1}, rf"format {FORMAT + 1} is unknown.*1 to {FORMAT}"),
        (lambda v: v | {"colour": "red"}, "colour"),
        (lambda v: v | {"format": "two"}, "format 'two' is unknown"),
        (lambda v: v | {"network": {"kind": "wavenet"}}, r"network.kind is 'wavenet'.*unet1d"),
        (lambda v: v | {"conditioner": {"kind": "bert"}}, r"conditioner.kind is 'bert'.*t5, clap"),
        (lambda v: v | {"network": v["network"] | {"depth": 3}}, "depth"),
        (lambda v: {k: x for k, x in v.items() if k != "conditioner"}, "conditioner"),
        (lambda v: v | {"separation": {"method": "magic"}}, "magic"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, message):
    """Unknown keys, kinds and methods, missing keys and newer formats: one line with the name."""
    values = change({"format": FORMAT, **to_json(MODELS[1])})
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=message) as error:
        read_model_config(tmp_path)
    assert "\n" not in str(error.value)


def test_invalid_json_names_the_file(tmp_path):
    """A damaged file is a ConfigError with its path, not a traceback."""
    (tmp_path / "config.json").write_text('{"format": 1,')
    with pytest.raises(ConfigError, match=r"config.json: not valid JSON"):
        read_model_config(tmp_path)
