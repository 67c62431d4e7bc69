"""VGGish's names, as torchvggish and as TensorFlow have them."""

from math import prod
from pathlib import Path

import numpy as np
from numpy.testing import assert_array_equal
from parity.vggish_case import NARROW, module
from parity.weights import draw

from gmsdi_jax.arrays import flatten
from gmsdi_jax.convert.names import to_ours, to_theirs
from gmsdi_jax.convert.vggish import VGGISH_TF, VGGISH_TORCH
from gmsdi_jax.models import VggishConfig

FULL = {name: leaf.shape for name, leaf in flatten(module(VggishConfig()).shapes).items()}


def published() -> dict[str, tuple[int, ...]]:
    with np.load(Path(__file__).parents[1] / "parity" / "vggish.npz") as file:
        pairs = [text.split("=") for text in file["shapes"]]
    return {name: tuple(map(int, shape.split(","))) for name, shape in pairs}


def test_published_size_has_72_million_weights():
    assert sum(map(prod, FULL.values())) == 72_141_184
    assert sum(map(prod, published().values())) == 72_141_184


def test_names_are_the_published_ones():
    """Every name and shape of torchvggish's state dict becomes one of ours, and none is left."""
    theirs = published()
    config = VGGISH_TORCH.config(theirs, {})
    assert config == VggishConfig()
    empty = {name: np.broadcast_to(np.float32(0), shape) for name, shape in theirs.items()}
    for name in empty:  # only shapes matter, but transposing must not copy 288 MB
        if prod(theirs[name]) > 1e6:
            empty[name] = np.empty(theirs[name], np.float16)
    arrays, unknown = to_ours(empty, VGGISH_TORCH.rules(config))
    assert unknown == []
    assert {name: value.shape for name, value in arrays.items()} == FULL


def test_there_and_back_is_the_same():
    """Of either format, bit for bit; both sizes are read off the arrays."""
    flat = {name: np.asarray(value) for name, value in flatten(draw(module(NARROW).shapes)).items()}
    for format in (VGGISH_TORCH, VGGISH_TF):
        theirs = to_theirs(flat, format.rules(NARROW))
        shapes = {name: value.shape for name, value in theirs.items()}
        config = format.config(shapes, {})
        assert (config.widths, config.hidden, config.features) == (
            NARROW.widths,
            NARROW.hidden,
            NARROW.features,
        )
        again = to_ours(theirs, format.rules(config)).arrays
        assert again.keys() == flat.keys()
        for name, value in flat.items():
            assert_array_equal(again[name], value)


def test_tensorflow_kernels_are_ours_already():
    """[height, width, in, out] and [in, out]: nothing is transposed."""
    flat = {name: np.asarray(value) for name, value in flatten(draw(module(NARROW).shapes)).items()}
    theirs = to_theirs(flat, VGGISH_TF.rules(NARROW))
    assert_array_equal(theirs["vggish/conv3/conv3_2/weights"], flat["stages.2.1.kernel"])
    assert_array_equal(theirs["vggish/fc1/fc1_1/weights"], flat["layers.0.kernel"])
    assert set(theirs) >= {"vggish/conv1/biases", "vggish/fc2/weights", "vggish/fc1/fc1_2/biases"}
