"""A tiny model with random weights: every promise of the command line holds for it too."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
import soundfile

from gmsdi_jax.build import Model
from gmsdi_jax.cli import main
from gmsdi_jax.config import ModelConfig
from gmsdi_jax.models import SpectralConfig
from gmsdi_jax.weights import save_model

NETWORK = SpectralConfig(width=16, dilations=(1,), components=4, fft=256, fine_bins=64)


class Ran(NamedTuple):
    """What a command returned and said."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Path]:
    """A function that saves a tiny random model, its weights times `scale`."""

    def make(folder: Path, scale: float = 1.0, **options) -> Path:
        config = ModelConfig(network=NETWORK, window=2**13, **options)
        params = jax.jit(Model(config).init)(jax.random.key(0))
        save_model(folder, config, jax.tree.map(lambda leaf: leaf * scale, params))
        return folder

    return make


@pytest.fixture(scope="session")
def model(make_model, tmp_path_factory) -> str:
    """The folder of a tiny model."""
    return str(make_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def gmsdi(capsys) -> Callable[..., Ran]:
    """Runs a command in this process."""

    def run(*arguments) -> Ran:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def noise() -> Callable[..., Path]:
    """A function that writes white noise, as 32-bit floats where the format has them."""

    def write(path: Path, rate=22050, channels=1, seconds=1.0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (round(seconds * rate), channels)
        audio = 0.1 * np.random.default_rng(0).standard_normal(shape)
        subtype = "FLOAT" if path.suffix == ".wav" else None
        soundfile.write(path, audio.astype(np.float32), rate, subtype=subtype)
        return path

    return write
