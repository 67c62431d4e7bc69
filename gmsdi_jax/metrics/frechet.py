"""The Fréchet distance of two sets of embeddings, and its value for endlessly many of them.

Each set is described by its mean and covariance, as if it were Gaussian; the distance is that of
the two Gaussians, squared (Dowson and Landau 1982; for audio Kilgour et al. 2019, 1812.08466):

    d² = |m₁ - m₂|² + tr C₁ + tr C₂ - 2 tr (C₁ C₂)^½

The last trace is the sum of the square roots of the eigenvalues of ``Lᵀ C₂ L``, where
``C₁ = L Lᵀ``. That matrix is symmetric, so its eigenvalues are real by construction; published code
takes the square root of the product, which is neither symmetric nor, with fewer embeddings than
dimensions, regular. All of it is float64 on the host.

A covariance of few samples makes the distance too large, by an amount that falls as one over their
number: of two sets from one distribution, 2400 VGGish embeddings each are about 1 % of the trace
apart. `frechet_infinity` draws smaller and smaller subsets of the generated set and extrapolates
(Chong and Forsyth 2020, 1911.07023; Gui et al. 2024, 2311.01616). What the *reference's* own number
of samples adds stays in it. Of fewer embeddings than about twice their dimensions no line helps:
below full rank, the excess does not fall as one over their number.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gmsdi_jax.errors import InputError, NumericsError

_SIZES, _LEAST = 25, 500
"""How many sizes fadtk extrapolates over, and the smallest."""


class Gaussian(NamedTuple):
    """What the Fréchet distance knows of a set of embeddings."""

    mean: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]


class Extrapolation(NamedTuple):
    """A line through the distances of subsets, over one over their size."""

    distance: float
    """Where the line meets an endless set: the result."""
    slope: float
    """What one embedding in ``n`` costs: the distance of a subset is ``distance + slope / n``."""
    r2: float
    """The share of the distances' variance that the line explains; near 1 if it can be trusted."""
    sizes: tuple[int, ...]
    distances: tuple[float, ...]


def gaussian(embeddings: Float[np.ndarray, "n d"]) -> Gaussian:
    """The mean of a set and its covariance, divided by ``n - 1``.

    Raises:
        InputError: there are fewer than two embeddings.
        NumericsError: one is not finite.
    """
    x = checked(embeddings)
    mean = x.mean(0)
    deviations = x - mean
    return Gaussian(mean, deviations.T @ deviations / (len(x) - 1))


def gaussian_distance(a: Gaussian, b: Gaussian) -> float:
    """The squared Fréchet distance of two Gaussians; never below 0.

    Raises:
        InputError: they are of different dimensions.
    """
    if a.mean.shape != b.mean.shape:
        raise InputError(
            f"embeddings of {a.mean.size} and of {b.mean.size} dimensions cannot be compared: "
            "embed both sets with one encoder"
        )
    variances, axes = np.linalg.eigh(a.covariance)
    factor = axes * np.sqrt(np.maximum(variances, 0))
    shared = np.linalg.eigvalsh(factor.T @ b.covariance @ factor)
    difference = a.mean - b.mean
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    distance = difference @ difference + traces - 2 * np.sqrt(np.maximum(shared, 0)).sum()
    return float(max(distance, 0.0))


def frechet_distance(
    generated: Float[np.ndarray, "n d"], reference: Float[np.ndarray, "m d"]
) -> float:
    """The squared Fréchet distance of two sets; of VGGish embeddings, the FAD. Lower is nearer.

    Raises:
        InputError: a set has fewer than two embeddings, or their dimensions differ.
        NumericsError: an embedding is not finite.
    """
    return gaussian_distance(gaussian(generated), gaussian(reference))


def frechet_infinity(
    generated: Float[np.ndarray, "n d"],
    reference: Float[np.ndarray, "m d"],
    *,
    sizes: Sequence[int] | None = None,
    replace: bool = False,
    seed: int = 0,
) -> Extrapolation:
    """The distance that endlessly many generated embeddings would have; it may be below 0.

    Args:
        generated: the set that subsets are drawn from.
        reference: compared with each of them, whole.
        sizes: of the subsets; by default 25 from 500 (of a small set: half of it) to all.
        replace: whether a subset may hold an embedding more than once, as in fadtk. Such subsets
            tend to the set that there is, so that their extrapolation returns about the distance of
            that set, its excess included; subsets without repetition tend to the distribution.
        seed: of the subsets.

    Raises:
        InputError: a set is too small, or a size is not from 2 to the set's, or all are the same.
        NumericsError: an embedding is not finite.
    """
    x, target = checked(generated), gaussian(reference)
    chosen = _sizes(len(x)) if sizes is None else tuple(sizes)
    if len(set(chosen)) < 2 or min(chosen) < 2 or (max(chosen) > len(x) and not replace):
        raise InputError(
            f"an extrapolation over {sorted(set(chosen))[:5]} embeddings of {len(x)}: it needs two "
            "or more sizes, from 2 to all; embed more audio"
        )
    rng = np.random.default_rng(seed)
    subsets = (x[rng.choice(len(x), size, replace=replace)] for size in chosen)
    found = np.array([gaussian_distance(gaussian(subset), target) for subset in subsets])
    inverse = 1 / np.array(chosen, np.float64)
    slope, distance = np.polyfit(inverse, found, 1)
    rest = found - (distance + slope * inverse)
    spread = np.square(found - found.mean()).sum()
    r2 = 1 - np.square(rest).sum() / spread if spread > 0 else 1.0
    return Extrapolation(float(distance), float(slope), float(r2), chosen, tuple(found.tolist()))


def checked(embeddings: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """The set in float64.

    Raises:
        InputError: there are fewer than two embeddings.
        NumericsError: one is not finite.
    """
    x = np.asarray(embeddings, np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise InputError(
            f"embeddings of shape {x.shape}: a distance needs at least two, (number, dimensions); "
            "add audio"
        )
    if not np.isfinite(x).all():
        raise NumericsError("an embedding holds NaN or infinity")
    return x


def _sizes(count: int) -> tuple[int, ...]:
    least = max(min(_LEAST, count // 2), 2)
    return tuple(np.linspace(least, count, _SIZES).astype(int).tolist())
