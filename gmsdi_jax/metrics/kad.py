"""The Kernel Audio Distance: do two sets of embeddings come from one distribution, any at all?

Chung et al. 2025 (2502.15602): the squared maximum mean discrepancy of the two sets under a
Gaussian kernel, estimated without bias (Gretton et al. 2012, lemma 6), times 100:

    KAD = 100 (mean k(x, x') + mean k(y, y') - 2 mean k(x, y)),   k(a, b) = exp(-|a - b|² / 2s²)

where no embedding is paired with itself. It takes no set for a Gaussian and is right on average for
any number of embeddings, few ones only make it uncertain; so it may fall below 0. The bandwidth
``s`` is the median distance of two embeddings of the reference, so that neither the scale of the
embeddings nor the generated set decides what counts as near. The authors' toolkit (kadtk 1.1.0)
takes that median of whichever set it is handed second, which in its command is the evaluated one:
its numbers compare with these only where the bandwidth is the same.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from gmsdi_jax.errors import InputError
from gmsdi_jax.metrics.frechet import checked

SCALE = 100.0
"""Published scale: without it the numbers have a zero or two more after the point."""
_PAIRED = 2000
"""Embeddings whose pairs give the median: two million distances."""
_ROWS = 1024


def kernel_distance(
    generated: Float[np.ndarray, "n d"],
    reference: Float[np.ndarray, "m d"],
    bandwidth: float | None = None,
) -> float:
    """The KAD of two sets; 0 on average for sets of one distribution. Lower is nearer.

    Args:
        generated: one set.
        reference: the other, which sets the bandwidth.
        bandwidth: ``s`` of the kernel; by default `median_distance` of the reference.

    Raises:
        InputError: a set has fewer than two embeddings, their dimensions differ, or the bandwidth
            is not above 0 (all embeddings of the reference are the same).
        NumericsError: an embedding is not finite.
    """
    x, y = checked(generated), checked(reference)
    if x.shape[1] != y.shape[1]:
        raise InputError(
            f"embeddings of {x.shape[1]} and of {y.shape[1]} dimensions cannot be compared: embed "
            "both sets with one encoder"
        )
    bandwidth = median_distance(y) if bandwidth is None else bandwidth
    if not bandwidth > 0:
        raise InputError(
            f"a kernel of bandwidth {bandwidth}: the reference's embeddings are all the same; give "
            "other audio"
        )
    middle = y.mean(0)  # distances stay, and lose no digits to a far origin
    x, y = (x - middle) / bandwidth, (y - middle) / bandwidth
    within = [(_total(z, z) - len(z)) / (len(z) * (len(z) - 1)) for z in (x, y)]
    return SCALE * (sum(within) - 2 * _total(x, y) / (len(x) * len(y)))


def median_distance(embeddings: Float[np.ndarray, "n d"]) -> float:
    """The median distance of two embeddings of a set.

    Of a large set, of 2000 embeddings at even distances in it.

    Raises:
        InputError: there are fewer than two embeddings.
        NumericsError: one is not finite.
    """
    x = checked(embeddings)
    x = x[np.linspace(0, len(x) - 1, min(len(x), _PAIRED)).round().astype(int)]
    x = x - x.mean(0)
    squares = np.concatenate(list(_squares(x, x)))
    pairs = squares[np.triu_indices(len(x), 1)]
    return float(np.median(np.sqrt(pairs)))


def _total(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> float:
    """The sum of the kernel of bandwidth 1 over all pairs."""
    return float(sum(np.exp(-0.5 * block).sum() for block in _squares(x, y)))


def _squares(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]
) -> Iterator[Float[np.ndarray, "r m"]]:
    """Squared distances of all pairs, some rows at a time: sets may hold many thousands."""
    norms = np.square(y).sum(1)
    for first in range(0, len(x), _ROWS):
        rows = x[first : first + _ROWS]
        squares = np.square(rows).sum(1)[:, None] + norms[None] - 2 * rows @ y.T
        yield np.maximum(squares, 0)
