"""Our T5 answers as transformers' does, given the same weights.

`t5.npz` holds what `record_t5.py` recorded of `T5EncoderModel`, for an encoder of either kind and
texts of three lengths: whole, padded, and without any token that counts. Errors are relative to the
largest value of what is compared.
"""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from parity.t5_case import BUCKETS, CONFIGS, LAYERED, LENGTHS, answers, module
from parity.weights import draw

from gmsdi_jax.models.t5 import T5Config, distance_buckets


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("t5.npz")) as file:
        return dict(file)


def error(ours, expected: np.ndarray) -> float:
    assert ours.shape == expected.shape
    return float(np.abs(np.asarray(ours) - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", CONFIGS)
def test_every_layer_is_transformers(name, length, recorded):
    """In the network's order, so that the first to differ is where it goes wrong."""
    config = CONFIGS[name]
    compared = []
    for layer, ours in answers(config, length, draw(module(config).shapes)):
        compared.append(layer)
        assert error(ours, recorded[f"{name}, {length}, {layer}"]) <= 5e-6, layer
    every = ["tokens", *(f"layer {i}" for i in range(config.layers)), "states"]
    assert compared == (every if length == LAYERED else ["states"])


@pytest.mark.parametrize(("count", "farthest"), BUCKETS)
def test_buckets_are_the_published(count, farthest, recorded):
    """Also where a logarithm falls on the border of two, and far beyond the last one."""
    ours = distance_buckets(601, T5Config(buckets=count, max_distance=farthest))
    expected = recorded[f"{count} buckets to {farthest}"]
    assert_array_equal(ours[0], expected[600:])
    assert_array_equal(ours[:, 0], expected[600::-1])
    assert_array_equal(np.diagonal(ours, 7), expected[607])
