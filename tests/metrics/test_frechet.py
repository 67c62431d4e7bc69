"""The Fréchet distance where it has a closed form, and what few samples add to it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gmsdi_jax.errors import InputError, NumericsError
from gmsdi_jax.metrics.frechet import (
    Gaussian,
    frechet_distance,
    frechet_infinity,
    gaussian,
    gaussian_distance,
)


def rotation(rng, d):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


def covariance(rng, d):
    root = rng.standard_normal((d, d))
    return root @ root.T


def test_axes_in_common(rng):
    """Covariances of equal axes: |δ|² + Σ (√a - √b)², in any orientation of those axes."""
    a, b = rng.uniform(0.1, 5, (2, 12))
    mean, shift = rng.standard_normal((2, 12))
    axes = rotation(rng, 12)
    found = gaussian_distance(
        Gaussian(mean, axes * a @ axes.T), Gaussian(mean + shift, axes * b @ axes.T)
    )
    assert_allclose(found, shift @ shift + np.square(np.sqrt(a) - np.sqrt(b)).sum(), rtol=1e-12)


def test_two_dimensions(rng):
    """Axes apart: for 2 x 2 matrices tr (AB)^½ = √(tr AB + 2 √det AB)."""
    for _ in range(5):
        a, b = covariance(rng, 2), covariance(rng, 2)
        root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
        found = gaussian_distance(Gaussian(np.zeros(2), a), Gaussian(np.zeros(2), b))
        assert_allclose(found, np.trace(a) + np.trace(b) - 2 * root, rtol=1e-9)


def test_flat_sets(rng):
    """Covariances u uᵀ and v vᵀ, of rank one: |u|² + |v|² - 2 |u·v|; and with itself, 0."""
    u, v = rng.standard_normal((2, 30))
    flat = [Gaussian(np.zeros(30), np.outer(w, w)) for w in (u, v)]
    assert_allclose(gaussian_distance(*flat), u @ u + v @ v - 2 * abs(u @ v), atol=1e-6)
    assert 0 <= gaussian_distance(flat[0], flat[0]) < 1e-6
    few = rng.standard_normal((9, 30))
    assert 0 <= frechet_distance(few, few) < 1e-6


def test_the_map_of_one_gaussian_to_the_other(rng):
    """x and T x with T symmetric and positive: the distance is E |x - T x|², optimal transport."""
    d, transport = 10, covariance(rng, 10) / 10
    a = covariance(rng, d)
    b = transport @ a @ transport
    expected = np.trace((np.eye(d) - transport) @ a @ (np.eye(d) - transport))
    zero = np.zeros(d)
    assert_allclose(gaussian_distance(Gaussian(zero, a), Gaussian(zero, b)), expected, rtol=1e-7)
    assert_allclose(gaussian_distance(Gaussian(zero, b), Gaussian(zero, a)), expected, rtol=1e-7)


def test_sets_far_from_the_origin(rng):
    """float32 sets a thousand units away: mean and covariance are numpy's in float64."""
    x = (1000 + rng.standard_normal((50, 4))).astype(np.float32)
    found = gaussian(x)
    assert found.covariance.dtype == np.float64
    assert_allclose(found.mean, x.astype(np.float64).mean(0), rtol=1e-15)
    assert_allclose(found.covariance, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-12)
    assert_allclose(frechet_distance(x, x + 8), 4 * 64, rtol=1e-9)


def test_few_samples_add_what_theory_says(rng):
    """Unit Gaussians: (d + d (d + 1) / 4) / n, from the mean and the second order in Σ."""
    d, n = 8, 400
    reference = rng.standard_normal((100_000, d))
    sets = rng.standard_normal((40, n, d))
    excess = np.mean([frechet_distance(x, reference) for x in sets])
    assert_allclose(excess, (d + d * (d + 1) / 4) / n, rtol=0.1)


def test_the_extrapolation_takes_it_off(rng):
    """Subsets without repetition tend to the distribution, with it only to the set that there is.

    Sets of one distribution, whose distance is 0.
    """
    d, n = 8, 400
    reference = rng.standard_normal((100_000, d))
    sets = rng.standard_normal((40, n, d))
    excess = (d + d * (d + 1) / 4) / n
    for replace, expected in ((False, 0), (True, excess)):
        found = [
            frechet_infinity(x, reference, seed=i, replace=replace) for i, x in enumerate(sets)
        ]
        assert_allclose(np.mean([f.distance for f in found]), expected, atol=0.15 * excess)
        if not replace:
            assert_allclose(np.mean([f.slope for f in found]), n * excess, rtol=0.15)


def test_the_line(rng):
    """It goes through the distances of the subsets, and the whole set's is one of them."""
    x, reference = rng.standard_normal((300, 6)), rng.standard_normal((2000, 6))
    found = frechet_infinity(x, reference, sizes=(50, 100, 300))
    assert found.sizes == (50, 100, 300)
    assert_allclose(found.distances[-1], frechet_distance(x, reference), rtol=1e-9)
    line = found.distance + found.slope / np.array(found.sizes)
    rest = np.array(found.distances) - line
    assert_allclose([rest.sum(), rest @ (1 / np.array(found.sizes))], 0, atol=1e-12)
    assert_allclose(found.r2, 1 - rest @ rest / (np.var(found.distances) * 3))
    assert found == frechet_infinity(x, reference, sizes=(50, 100, 300))
    default = frechet_infinity(x, reference).sizes
    assert (default[0], default[-1], len(default)) == (150, 300, 25)


def test_what_cannot_be_compared(rng):
    one, many, wide = rng.standard_normal((1, 3)), rng.standard_normal((9, 3)), np.ones((9, 4))
    with pytest.raises(InputError, match="at least two"):
        frechet_distance(one, many)
    with pytest.raises(InputError, match="3 and of 4 dimensions"):
        frechet_distance(many, wide)
    with pytest.raises(NumericsError, match="NaN"):
        frechet_distance(many, many * np.nan)
    for sizes in ((9,), (1, 9), (5, 10)):
        with pytest.raises(InputError, match="two or more sizes"):
            frechet_infinity(many, many, sizes=sizes)
