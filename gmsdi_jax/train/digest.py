"""A checksum of every array of a tree that does not depend on where its parts lie.

Orbax restores a flipped bit without a word, so a checkpoint carries a digest of each leaf, taken
from the arrays on the devices before they are written and again after they were read.

A digest is a sum, modulo 2**32, over all elements of ``mix(bits, position)``: integer sums are
exact in any order, so one device, a pod, and any sharding give the same number, and only that
number crosses the network. Two lanes with different mixers make 64 bits. Each mixer is one-to-one
in the bits (the finalizers of MurmurHash3 and of Ettinger's ``lowbias32`` family), so any change
of a *single* element always shows; any other change - swapped elements, a transposed array, a lost
shard - goes unseen with probability 2**-64. This guards against accidents, not against attackers.

Positions are exact up to 2**32 elements in a leaf. A leaf is read once, with no copy: both lanes
are one fused reduction, compiled once per shape, dtype and sharding.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, PyTree, UInt32

Lanes = tuple[UInt32[Array, ""], UInt32[Array, ""]]


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """The leaves of a tree by their paths, as ``params/blocks/0/kernel``.

    Raises:
        ValueError: two leaves have the same path, as under the keys 0 and "0" of one dict.
    """
    pairs = jax.tree_util.tree_flatten_with_path(tree)[0]
    named = {jax.tree_util.keystr(p, simple=True, separator="/"): leaf for p, leaf in pairs}
    if len(named) < len(pairs):
        raise ValueError("two leaves of the tree have the same path")
    return named


def kind(leaf: Any) -> str:
    """Dtype and shape of an array, a `jax.ShapeDtypeStruct` or a number: ``float32[300,400]``."""
    leaf = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"


def digests(tree: PyTree) -> dict[str, str]:
    """16 hexadecimal digits for each leaf, by its path.

    Leaves may be of any dtype, typed random keys included, and sharded in any way over the devices
    of any number of processes; then all processes must call this with their part of the tree.
    Waits for the arrays to be computed; the arrays may be donated afterwards.
    """
    named = named_leaves(tree)
    lanes = jax.device_get([_lanes(_on_device(leaf)) for leaf in named.values()])
    return {
        path: f"{int(one):08x}{int(two):08x}" for path, (one, two) in zip(named, lanes, strict=True)
    }


def _on_device(leaf: Any) -> Any:
    """Host arrays as words of 32 bits, as JAX would make 32 of 64 bits without x64."""
    if isinstance(leaf, jax.Array):
        return leaf
    leaf = np.asarray(leaf)
    wide = leaf.dtype.kind in "iufc" and leaf.dtype.itemsize >= 4
    return np.ascontiguousarray(leaf).reshape(-1).view(np.uint32) if wide else leaf


@jax.jit
def _lanes(leaf: Array) -> Lanes:
    words = _words(leaf)
    place = _murmur(_positions(words.shape) + np.uint32(0x9E3779B9))
    one = _murmur(words ^ place)
    two = _lowbias(words + place * np.uint32(0x85157AF5))
    zero = np.uint32(0)
    # One reduction with two results: two reductions would store all that is mixed in between.
    return lax.reduce((one, two), (zero, zero), _add, tuple(range(words.ndim)))


def _add(left: Lanes, right: Lanes) -> Lanes:
    return left[0] + right[0], left[1] + right[1]


def _words(leaf: Array) -> UInt32[Array, "*shape"]:
    """The bits of the elements in words of 32 bits; wide elements become several, on a new axis."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
        leaf = jnp.stack([leaf.real, leaf.imag], axis=-1)
    if leaf.dtype == jnp.bool_:
        leaf = leaf.astype(jnp.uint8)
    about = jnp.iinfo if jnp.issubdtype(leaf.dtype, jnp.integer) else jnp.finfo
    bits = min(32, about(leaf.dtype).bits)
    return lax.bitcast_convert_type(leaf, f"uint{bits}").astype(jnp.uint32)


def _positions(shape: tuple[int, ...]) -> UInt32[Array, "*shape"]:
    """The number of each element in row-major order, counted without moving sharded elements."""
    position, stride = jnp.zeros(shape, jnp.uint32), 1
    for axis in reversed(range(len(shape))):
        along = lax.broadcasted_iota(jnp.uint32, shape, axis)
        position += along * np.uint32(stride % 2**32)
        stride *= shape[axis]
    return position


def _murmur(word: Array) -> Array:
    word = (word ^ (word >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    word = (word ^ (word >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return word ^ (word >> np.uint32(16))


def _lowbias(word: Array) -> Array:
    word = (word ^ (word >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    word = (word ^ (word >> np.uint32(12))) * np.uint32(0x297A2D39)
    return word ^ (word >> np.uint32(15))
