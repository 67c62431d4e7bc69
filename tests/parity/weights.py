"""Weights that a recorder and its test draw alike, so that no file has to hold them.

An array depends on the seed, its name and its shape only, not on the arrays around it. No array is
trivial: a gain of exactly 1, a bias of 0 or two equal rows would hide a name that is mapped wrong.
"""

import zlib
from collections.abc import Mapping

import jax
import numpy as np

from gmsdi_jax.types import Params

GAINS = {"scale", "variance", "var"}
"""Last names of what multiplies, or must be positive."""


def draw(shapes: Params, seed: int = 0) -> Params:
    """Float32 arrays of these shapes, by the last part of their names.

    Gains are uniform in [0.7, 1.3], biases and means normal of deviation 0.1, kernels normal of
    variance 1 / fan-in, and the rest (tables, frequencies) unit normal. The first axis of a kernel
    below ``layers`` counts layers, unless a number follows.
    """

    def leaf(path, like) -> np.ndarray:
        parts = [str(part.key) for part in path]
        rng = np.random.default_rng([seed, zlib.crc32(".".join(parts).encode()), *like.shape])
        if parts[-1] in GAINS:
            value = rng.uniform(0.7, 1.3, like.shape)
        else:
            value = _deviation(parts, like.shape) * rng.standard_normal(like.shape)
        return value.astype(np.float32)

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def openings(theirs: Mapping[str, np.ndarray]) -> np.ndarray:
    """The first three numbers of each array, by order of names, as a recorder found them.

    Of an array of fewer numbers, those over again.

    They tell arrays of one shape apart, and a matrix from its transpose: answers can be recorded of
    a network whose weights a table of names misplaced, and the table be changed later.
    """
    return np.stack([np.resize(theirs[name], 3) for name in sorted(theirs)])


def _deviation(parts: list[str], shape: tuple[int, ...]) -> float:
    if parts[-1] in {"bias", "mean"}:
        return 0.1
    if parts[-1] != "kernel":
        return 1.0
    below = parts[parts.index("layers") + 1] if "layers" in parts[:-1] else "0"
    inputs = shape[:-1] if below.isdigit() else shape[1:-1]
    return float(np.prod(inputs)) ** -0.5
