"""What separation and generation need of a machine, told from shapes alone."""

import re
from dataclasses import dataclass, replace

import jax
import pytest

from gmsdi_jax.build import Model
from gmsdi_jax.config import ModelConfig
from gmsdi_jax.distributed import Pod
from gmsdi_jax.errors import ConfigError, UnavailableError
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.models import T5TextConfig
from gmsdi_jax.pipeline import GenerationConfig, generation_ahead, separation_ahead

FEW = SeparationConfig(method="project", weights="uniform", steps=3)
DRAWN = GenerationConfig(steps=2)
STEMS = ["Bass", "Drums"]


@dataclass(frozen=True)
class Here(Pod):
    """This machine in the place of one that is not here."""

    memory: int = 2**30

    @property
    def limit(self) -> int:
        return self.memory


HERE = Here("here", 1, tuple(jax.devices("cpu")[:1]))
SMALL = replace(HERE, memory=2**14)


@pytest.fixture
def config(model) -> ModelConfig:
    return model.model.config


def test_separation(config):
    """Two stems and the rest are three rows of each window, asked for three times."""
    lines = list(separation_ahead(Model(config), STEMS, FEW, HERE, rows=2))
    seconds = config.window / config.sample_rate
    assert lines[0] == (
        "separation: project on one host of here: 1 device, 6 rows per call; 2 windows of "
        f"{seconds:.1f} s"
    )
    assert lines[1].startswith(f"network: {FEW.evaluations(3)} evaluations per window, ")
    assert "of 1.00 GiB: arguments" in lines[2]
    assert lines[3:] == ["exchange: nothing"]


def test_as_many_windows_as_fit(config):
    """Weights and texts are told apart from what a call needs; a window more fits sixteen times."""
    first = next(iter(separation_ahead(Model(config), STEMS, FEW, HERE)))
    assert "16 windows" in first
    assert re.search(r"48 rows per call, [\d.]+ of 0\.8\d* GiB", first), first


def test_what_a_piece_needs(config):
    lines = list(generation_ahead(Model(config), STEMS, 0.1, DRAWN, HERE))
    assert lines[0] == "generation: 2 stems of 0.1 s on one chip of here"
    assert lines[1].startswith(f"network: {DRAWN.evaluations} evaluations per window of a stem, ")
    longer = replace(DRAWN, long="continued")
    one, many = (
        list(generation_ahead(Model(config), STEMS, 0.5, each, HERE))[2] for each in (longer, DRAWN)
    )
    assert one != many  # one window after the other, against all at once


def test_neither_weights_nor_an_encoder_are_needed(config):
    words = Model(replace(config, conditioner=T5TextConfig(features=8, tokens=3)))
    assert len(list(separation_ahead(words, ["a bass"], FEW, HERE, rows=1))) == 4
    assert len(list(generation_ahead(words, ["a bass"], 0.1, DRAWN, HERE))) == 4


def test_what_does_not_fit(config):
    with pytest.raises(ConfigError, match="GiB available: lower --rows"):
        list(separation_ahead(Model(config), STEMS, FEW, SMALL, rows=2))
    with pytest.raises(UnavailableError, match="one window needs"):
        list(separation_ahead(Model(config), STEMS, FEW, SMALL))
    with pytest.raises(ConfigError, match="GiB available: take fewer seconds or stems"):
        list(generation_ahead(Model(config), STEMS, 0.1, DRAWN, SMALL))
    with pytest.raises(ConfigError, match="gamma"):
        list(generation_ahead(Model(config), STEMS, 0.1, replace(DRAWN, gamma=1e-3), HERE))
