"""VGGish's names, as torchvggish and as TensorFlow have them.

torchvggish's are those of the published module's own state dict, written by
`tests/parity/record_vggish.py`.
"""

import json
import re
from math import prod
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from parity.vggish_case import NARROW, module
from parity.weights import draw, openings

from gmsdi_jax.arrays import differences, flatten
from gmsdi_jax.convert.names import to_ours, to_theirs
from gmsdi_jax.convert.vggish import VGGISH_TF, VGGISH_TORCH
from gmsdi_jax.models.vggish import VggishConfig

FORMATS = {"torch": VGGISH_TORCH, "tf": VGGISH_TF}
RECORDED = Path(__file__).parents[1] / "parity" / "vggish.npz"


@pytest.fixture(scope="module")
def published() -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvggish's state dict."""
    with np.load(RECORDED) as file:
        pairs = [line.split(" ", 1) for line in str(file["names"]).splitlines()]
    return {name: tuple(json.loads(shape)) for name, shape in pairs}


@pytest.fixture(scope="module")
def narrow() -> dict[str, np.ndarray]:
    """Weights of a narrow network under our names."""
    return {name: np.asarray(leaf) for name, leaf in flatten(draw(module(NARROW).shapes)).items()}


def test_published_names_are_all_ours(published):
    """At the published size, of 72 million weights; bytes stand for numbers."""
    assert VGGISH_TORCH.config(published, {}) == VggishConfig()
    theirs = {name: np.zeros(shape, np.uint8) for name, shape in published.items()}
    ours = to_ours(theirs, VGGISH_TORCH.rules(VggishConfig()))
    wanted = {n: leaf.shape for n, leaf in flatten(VGGISH_TORCH.shapes(VggishConfig())).items()}
    assert not differences(ours.arrays, wanted)
    assert not ours.unknown
    assert sum(map(prod, wanted.values())) == 72_141_184


def test_every_array_is_the_one_of_that_name(narrow):
    """As they stood in torchvggish when its answers were recorded."""
    theirs = to_theirs(narrow, VGGISH_TORCH.rules(NARROW))
    with np.load(RECORDED) as file:
        assert_allclose(openings(theirs), file["openings"], rtol=1e-6)


@pytest.mark.parametrize("name", FORMATS)
def test_weights_go_there_and_back(name, narrow):
    """Bit for bit; the sizes are read off the arrays."""
    kind = FORMATS[name]
    theirs = to_theirs(narrow, kind.rules(NARROW))
    assert kind.config({key: value.shape for key, value in theirs.items()}, {}) == NARROW
    again = to_ours(theirs, kind.rules(NARROW))
    assert not again.unknown
    assert again.arrays.keys() == narrow.keys()
    for key, value in narrow.items():
        assert_array_equal(again.arrays[key], value)


def test_tensorflow_kernels_are_ours_already(narrow):
    """[height, width, in, out] and [in, out]: nothing is transposed."""
    theirs = to_theirs(narrow, VGGISH_TF.rules(NARROW))
    assert len(theirs) == 18
    assert_array_equal(theirs["vggish/conv1/biases"], narrow["stages.0.0.bias"])
    assert_array_equal(theirs["vggish/conv3/conv3_2/weights"], narrow["stages.2.1.kernel"])
    assert_array_equal(theirs["vggish/conv4/conv4_1/weights"], narrow["stages.3.0.kernel"])
    assert_array_equal(theirs["vggish/fc1/fc1_1/weights"], narrow["layers.0.kernel"])
    assert_array_equal(theirs["vggish/fc1/fc1_2/weights"], narrow["layers.1.kernel"])
    assert_array_equal(theirs["vggish/fc2/weights"], narrow["layers.2.kernel"])


@pytest.mark.parametrize("name", FORMATS)
def test_formats_are_told_apart(name, narrow):
    """By names alone."""
    theirs = to_theirs(narrow, FORMATS[name].rules(NARROW))
    for other, kind in FORMATS.items():
        known = all(any(re.fullmatch(mark, key) for key in theirs) for mark in kind.marks)
        assert known == (other == name)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("torch", "pproc.pca_eigen_vectors"),
        ("torch", "pproc.pca_means"),
        ("tf", "global_step"),
        ("tf", "vggish/fc2/weights/Adam_1"),
    ],
)
def test_what_belongs_to_no_network_is_ignored(name, key, narrow):
    """The PCA of YouTube-8M's features, and what training leaves; of the network, nothing."""
    kind = FORMATS[name]
    ignored = re.compile("|".join(f"(?:{pattern})" for pattern in kind.ignored))
    assert ignored.fullmatch(key)
    assert not any(ignored.fullmatch(own) for own in to_theirs(narrow, kind.rules(NARROW)))


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_layer_is_named(name, narrow):
    """In one line."""
    theirs = to_theirs(narrow, FORMATS[name].rules(NARROW))
    shapes = {key: value.shape for key, value in theirs.items()}
    lost = next(key for key in shapes if "bias" in key)
    del shapes[lost]
    with pytest.raises(ValueError, match=f"{lost} is missing"):
        FORMATS[name].config(shapes, {})
