"""Digests: the same for the same values wherever they lie, another for any other values."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gmsdi_jax.train.digest import digests, kind, named_leaves

INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
FLOATS = ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"]
NARROW = {"bool": 1, "int4": 4, "uint4": 4}  # bits that count
DTYPES = [*INTEGERS, *FLOATS, *NARROW, "float8_e4m3fn", "float8_e5m2"]


def digest(leaf):
    (found,) = digests([leaf]).values()
    return found


def test_the_values_of_format_1_stay(x64):
    """Earlier checkpoints are verified with the same numbers, here from a loop over integers."""
    values = np.arange(6).reshape(2, 3)
    assert digests({"a": values.astype(np.float32), "b": {3: values.astype(np.int8)}}) == {
        "a": "0193f9b31f063c85",
        "b/3": "85f5de0b50f68ed5",
    }
    assert digest(values.astype(np.float64)) == "4c0a558259dd7c74"
    assert digest(jax.random.key(7)) == "d486faf6679bcd92"


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_changed_bit_changes_it_in_any_dtype(dtype, rng, x64):
    """On the host as on a device; every bit of every element, one after the other."""
    size = jnp.dtype(dtype).itemsize
    raw = rng.integers(0, 2 if dtype in NARROW else 60, (3, 2 * size), np.uint8)
    values = raw.view(jnp.dtype(dtype))
    seen = {digest(values)}
    assert digest(jnp.asarray(values)) in seen
    counting = NARROW.get(dtype, 8)
    for place, bit in itertools.product(np.ndindex(raw.shape), range(counting)):
        raw[place] ^= 1 << bit
        seen.add(digest(raw.view(jnp.dtype(dtype))))
        raw[place] ^= 1 << bit
    assert len(seen) == 1 + raw.size * counting


def test_any_exchange_changes_it(rng):
    """Every pair of elements, a transposed square, reversals, a shift, zeros of two signs."""
    values = rng.standard_normal((6, 6)).astype(np.float32)
    values[0, 0] = 0.0
    changed = [values, values.T, values[::-1], values[:, ::-1], np.roll(values, 1), -values]
    for a, b in itertools.combinations(range(36), 2):
        swapped = values.copy().reshape(-1)
        swapped[[a, b]] = swapped[[b, a]]
        changed.append(swapped.reshape(6, 6))
    changed.append(np.where(values == 0, np.float32(-0.0), values))
    assert len({digest(np.ascontiguousarray(v)) for v in changed}) == len(changed)


def test_equal_sums_and_equal_parts_do_not_hide_a_change():
    """Permutations of few values, where sums and counts agree, are all told apart."""
    found = {digest(np.array(v, np.int32)) for v in set(itertools.permutations([0, 0, 0, 1, 1, 2]))}
    assert len(found) == 60


def test_an_exchanged_leaf_changes_it(rng):
    """Leaves are named: the first moment in the place of the second is not the same tree."""
    one, two = rng.standard_normal((2, 5)).astype(np.float32)
    assert digests({"mu": one, "nu": two}) != digests({"mu": two, "nu": one})
    assert list(digests({"mu": {0: one}, "nu": [two, None]})) == ["mu/0", "nu/0"]


def test_scalars_and_empty_arrays(x64):
    """Python's numbers count as NumPy's; nothing at all has a digest as well."""
    assert digest(3) == digest(np.int64(3)) == digest(jnp.int64(3)) != digest(np.int64(4))
    assert digest(2.5) == digest(np.float64(2.5)) != digest(np.float32(2.5))
    assert digest(np.zeros((0, 4), np.float32)) == "0" * 16
    assert digests({}) == {}


def test_kinds():
    """Dtype and shape, of arrays as of what stands for them."""
    assert kind(jnp.zeros((3, 4))) == kind(jax.ShapeDtypeStruct((3, 4), jnp.float32))
    assert kind(jnp.zeros((3, 4))) == "float32[3,4]"
    assert kind(jax.random.key(0)) == "key<fry>[]"
    assert kind(2.0) == "float64[]"


def test_ambiguous_paths_are_refused():
    """A leaf that hid behind another one would be verified by nobody."""
    with pytest.raises(ValueError, match="same path"):
        named_leaves({"a": {"b": 1}, "a/b": 2})
