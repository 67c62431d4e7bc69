"""The published models have the published numbers of weights."""

from math import prod

import jax
import pytest

from gmsdi_jax.build import Model
from gmsdi_jax.config import FORMAT, model_from_json, to_json
from gmsdi_jax.presets import PRESETS

WEIGHTS = {
    "paper-slakh": 492_625_820,
    "paper-jamendo": 492_625_820 - 63 * 512,  # CLAP is one token where t5-small has 64
    "msdm-joint": 405_497_700,
    "msdm-weak": 405_491_100,
}


@pytest.mark.parametrize("name", PRESETS)
def test_number_of_weights(name):
    """As counted in the published code, the table for "no text" included."""
    leaves = jax.tree.leaves(Model(PRESETS[name]()).shapes)
    assert sum(prod(leaf.shape) for leaf in leaves) == WEIGHTS[name]


@pytest.mark.parametrize("name", PRESETS)
def test_preset_survives_json(name):
    """It can be saved beside its weights."""
    config = PRESETS[name]()
    assert model_from_json({"format": FORMAT, **to_json(config)}) == config


def test_windows_are_the_papers():
    """2^18 and 2^19 samples at 22.05 kHz: 11.9 and 23.8 s, multiples of what the network needs."""
    windows = {name: PRESETS[name]().window for name in PRESETS}
    assert windows == {
        "paper-slakh": 262144,
        "paper-jamendo": 524288,
        "msdm-joint": 262144,
        "msdm-weak": 262144,
    }
    for made in PRESETS.values():
        assert made().window % made().network.multiple == 0
