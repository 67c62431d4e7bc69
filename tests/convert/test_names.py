"""Tables of names: what they pair, what they refuse, and that there and back is the same."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gmsdi_jax.convert.names import (
    CONV,
    CONV2D,
    LINEAR,
    POINTWISE,
    Rule,
    names_of,
    to_ours,
    to_theirs,
)

RULES = [
    Rule("blocks.{i}.conv.weight", "blocks.{i}.conv.kernel", CONV),
    Rule("layers.{i}.fc.weight", "layers[{i}].fc.kernel", LINEAR),
    Rule(("att.{i}.q.weight", "att.{i}.k.weight"), "att.{i}.qk.kernel", LINEAR),
    Rule(("deep.{i}.q.bias", "deep.{i}.k.bias"), "deep[{i}].qk.bias"),
    Rule("norm.g", "norm.scale"),
]


@pytest.fixture
def theirs(rng) -> dict[str, np.ndarray]:
    sizes = {
        "blocks.0.conv.weight": (2, 3, 5),
        "blocks.10.conv.weight": (2, 4, 5),
        **{f"layers.{i}.fc.weight": (2, 3) for i in range(11)},
        "att.0.q.weight": (2, 3),
        "att.0.k.weight": (2, 3),
        **{f"deep.{i}.{part}.bias": (4,) for i in range(2) for part in "qk"},
        "norm.g": (7,),
    }
    return {name: rng.standard_normal(size, np.float32) for name, size in sizes.items()}


def test_arrays_are_turned_joined_and_stacked(theirs):
    """Entry by entry, in terms of outputs and inputs."""
    arrays, unknown = to_ours(theirs, RULES)
    assert unknown == []
    assert arrays["blocks.10.conv.kernel"].shape == (5, 4, 2)
    assert arrays["blocks.0.conv.kernel"][4, 2, 1] == theirs["blocks.0.conv.weight"][1, 2, 4]
    assert arrays["layers.fc.kernel"].shape == (11, 3, 2)
    assert_array_equal(arrays["layers.fc.kernel"][10], theirs["layers.10.fc.weight"].T)
    assert_array_equal(arrays["att.0.qk.kernel"][:, 2:], theirs["att.0.k.weight"].T)
    assert_array_equal(arrays["deep.qk.bias"][1, :4], theirs["deep.1.q.bias"])
    assert all(array.flags.c_contiguous for array in arrays.values())


def test_there_and_back_is_the_same_to_the_bit(theirs):
    """Names, bits and even numbers that are none."""
    theirs["norm.g"][0] = np.nan
    back = to_theirs(to_ours(theirs, RULES).arrays, RULES)
    assert back.keys() == theirs.keys()
    for name, array in theirs.items():
        assert back[name].tobytes() == array.tobytes()
        assert back[name].shape == array.shape


@pytest.mark.parametrize(
    ("layout", "shape"), [(CONV, (2, 3, 4)), (CONV2D, (2, 3, 4, 5)), (POINTWISE, (2, 3, 1))]
)
def test_layouts_are_inverses(layout, shape, rng):
    array = rng.standard_normal(shape)
    assert_array_equal(layout.to_theirs(layout.to_ours(array)), array)
    assert layout.to_ours(array).shape[-2:] == (3, 2)  # inputs, outputs


def test_what_no_rule_speaks_of_is_told(theirs):
    theirs["blocks.x.conv.weight"] = theirs["head.weight"] = np.zeros(1)
    assert to_ours(theirs, RULES).unknown == ["blocks.x.conv.weight", "head.weight"]
    with pytest.raises(KeyError, match=r"head\.kernel has no name"):
        to_theirs({"head.kernel": np.zeros(1)}, RULES)


def test_gaps_and_wrong_numbers_of_axes_are_named(theirs):
    layer = theirs.pop("layers.4.fc.weight")
    with pytest.raises(ValueError, match=r"layers\.fc\.kernel are there: some are missing"):
        to_ours(theirs, RULES)
    theirs["layers.4.fc.weight"] = layer
    conv = theirs.pop("blocks.0.conv.weight")
    with pytest.raises(ValueError, match=r"blocks\.0\.conv\.weight has shape \(6, 5\)"):
        to_ours({**theirs, "blocks.0.conv.weight": conv.reshape(6, 5)}, RULES)
    theirs.pop("att.0.k.weight")
    with pytest.raises(ValueError, match=r"att\.0\.k\.weight is missing beside att\.0\.q"):
        to_ours(theirs, RULES)


def test_ours_can_be_named_without_arrays():
    """For messages: a layer of a stack is any of them."""
    assert names_of("blocks.3.conv.kernel", RULES) == ["blocks.3.conv.weight"]
    assert names_of("layers.fc.kernel", RULES) == ["layers.*.fc.weight"]
    assert names_of("deep.qk.bias", RULES) == ["deep.*.q.bias", "deep.*.k.bias"]
    assert names_of("nothing", RULES) == []
