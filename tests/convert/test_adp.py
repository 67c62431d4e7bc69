"""Published U-Nets are read by their names and shapes alone, and come back bit for bit.

`unet_shapes.npz` holds the names and shapes of the published packages' own state dicts, at small
sizes and at the published ones; `tests/parity/record_unet.py` wrote it.
"""

import re
from math import prod
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from parity.unet_case import CASES
from parity.weights import draw, openings

from gmsdi_jax.arrays import differences, flatten
from gmsdi_jax.convert.adp import ADP_43, ADP_97, MSDM, AdpConfig, shapes_of
from gmsdi_jax.convert.names import to_ours, to_theirs
from gmsdi_jax.models import UNet1dConfig

RECORDED = Path(__file__).parents[1] / "parity"
SMALL_TOLD = {"attention_heads": 2}
PUBLISHED = {
    "msdm, joint": (UNet1dConfig.msdm(4), 405_497_700),
    "msdm, weakly supervised": (UNet1dConfig.msdm(1), 405_491_100),
    "0.0.43, the paper's": (UNet1dConfig.paper(), 492_625_820),
    "0.0.43, default": (
        UNet1dConfig(channels=128, patch=2, patch_blocks=4, head_features=64),
        130_982_772,
    ),
    "0.0.97, the paper's": (UNet1dConfig(text_in="transformer"), 446_500_252),
    "0.0.97, default": (
        UNet1dConfig(text_in="transformer", channels=128, head_features=64),
        113_587_220,
    ),
}


@pytest.fixture(scope="module")
def recorded() -> dict[str, dict[str, tuple[int, ...]]]:
    """Names and shapes of each network's weights."""

    def read(line: str) -> tuple[str, tuple[int, ...]]:
        name, sizes = line.split("=")
        return name, tuple(map(int, sizes.split(",")))

    with np.load(RECORDED / "unet_shapes.npz") as file:
        return {key: dict(map(read, map(str, file[key]))) for key in file}


def format_of(name: str):
    return ADP_97 if name.startswith("0.0.97") else ADP_43


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_are_read_off_the_shapes(name, recorded):
    """The configuration, and with it the published number of weights."""
    network, count = PUBLISHED[name]
    tokens = None if network.text_features is None else 64
    assert format_of(name).config(recorded[name], {}) == AdpConfig(network=network, tokens=tokens)
    assert sum(map(prod, recorded[name].values())) == count


def test_we_want_the_published_names_and_shapes(recorded):
    """At the paper's size; the text's table is the conditioner's, everything else the network's."""
    config = AdpConfig(network=UNet1dConfig.paper(), tokens=64)
    wanted, table = flatten(ADP_43.shapes(config)), ADP_43.rules(config)
    found = {}
    for name, leaf in wanted.items():  # one at a time: together they are half a gigabyte
        theirs = to_theirs({name: np.empty(leaf.shape, np.int8)}, table)
        found |= {key: array.shape for key, array in theirs.items()}
    assert found == recorded["0.0.43, the paper's"]
    assert wanted["conditioner.null"].shape == (64, 512)
    assert {key.split(".")[0] for key in wanted} == {"conditioner", "network"}


@pytest.mark.parametrize("name", CASES)
def test_weights_go_there_and_back(name, recorded, rng):
    """Every array gets a name and the shape that we want, and returns bit for bit."""
    kind, theirs = format_of(name), recorded[name]
    arrays = {key: rng.standard_normal(shape, np.float32) for key, shape in theirs.items()}
    config = kind.config(theirs, {**SMALL_TOLD, "resnet_groups": CASES[name].groups})
    assert config.network == CASES[name]
    ours = to_ours(arrays, kind.rules(config))
    assert not ours.unknown
    wanted = {key: leaf.shape for key, leaf in flatten(kind.shapes(config)).items()}
    assert not differences(ours.arrays, wanted)
    back = to_theirs(ours.arrays, kind.rules(config))
    assert back.keys() == theirs.keys()
    assert all(np.array_equal(back[key], arrays[key]) for key in theirs)


@pytest.mark.parametrize("name", CASES)
def test_every_array_is_the_one_of_that_name(name):
    """As the published network held them when it gave the recorded answers: no two are swapped."""
    tokens = None if CASES[name].text_features is None else 7
    config = AdpConfig(network=CASES[name], tokens=tokens)
    drawn = {key: np.asarray(value) for key, value in flatten(draw(shapes_of(config))).items()}
    theirs = to_theirs(drawn, format_of(name).rules(config))
    with np.load(RECORDED / "unet.npz") as file:
        assert_allclose(openings(theirs), file[f"{name}, openings"], rtol=1e-6)


def test_joint_checkpoints_of_msdm_have_868_names_of_434_weights(recorded):
    """A checkpoint holds the network twice; its own copy has the prefix, the other is ignored."""
    bare = list(recorded["msdm, joint"])
    kept = [f"model.unet.{name}" for name in bare]
    copies = [f"model.diffusion.net.{name}" for name in bare]
    assert len(kept + copies) == 868
    assert all(name.startswith(MSDM.prefixes) for name in kept)
    ignored = [name for name in kept + copies if any(re.search(p, name) for p in MSDM.ignored)]
    assert ignored == copies


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("prefix", ["model.unet.", "unet.", ""])
def test_formats_are_told_apart(name, prefix, recorded):
    """By names alone: whatever the prefix, exactly one format knows its own."""
    names = [prefix + key for key in recorded[name]]
    known = [
        kind.name
        for kind in (MSDM, ADP_43, ADP_97)
        if all(any(re.search(mark, key) for key in names) for mark in kind.marks)
    ]
    old = "msdm" if prefix == "model.unet." else "adp-0.0.43"
    assert known == ["adp-0.0.97" if name.startswith("0.0.97") else old]


def test_what_is_no_unet_is_refused():
    """A foreign file is one line, not a traceback of indices."""
    with pytest.raises(ValueError, match=r"no U-Net of audio-diffusion-pytorch: to_time"):
        ADP_43.config({"encoder.weight": (4, 4)}, {})
