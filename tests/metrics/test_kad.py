"""The kernel distance of Gaussians, in closed form, and that few samples do not bias it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gmsdi_jax.errors import InputError
from gmsdi_jax.metrics.kad import SCALE, kernel_distance, median_distance


def expected(mean, a, b, bandwidth):
    """100 MMD² of N(0, a I) and N(mean, b I): integrals of Gaussians."""

    def pair(difference, variance):
        spread = 1 + variance / bandwidth**2
        exponent = -(difference @ difference) / (2 * bandwidth**2 * spread)
        return spread ** (-len(mean) / 2) * np.exp(exponent)

    zero = np.zeros_like(mean)
    return SCALE * (pair(zero, 2 * a) + pair(zero, 2 * b) - 2 * pair(mean, a + b))


def test_gaussians(rng):
    """Within four standard errors of the mean of 200 pairs of sets, which is 2 % of it."""
    mean, a, b = np.array([0.8, 0.0, -0.4]), 1.0, 2.0
    x = np.sqrt(a) * rng.standard_normal((200, 200, 3))
    y = mean + np.sqrt(b) * rng.standard_normal((200, 200, 3))
    found = [kernel_distance(*pair, 1.5) for pair in zip(x, y, strict=True)]
    error = np.std(found) / np.sqrt(len(found))
    truth = expected(mean, a, b, 1.5)
    assert 0 < error < 0.02 * truth
    assert_allclose(np.mean(found), truth, atol=4 * error)


def test_few_samples_are_right_on_average(rng):
    """Sets of 10, whose biased estimate would be 100 (1 - mean k) 2/10 too high: more than 10."""
    mean = np.array([0.5, 0.5])
    drawn = [
        (
            kernel_distance(x := rng.standard_normal((10, 2)), rng.standard_normal((12, 2)), 1.0),
            kernel_distance(x, mean + rng.standard_normal((12, 2)), 1.0),
        )
        for _ in range(1500)
    ]
    assert_allclose(np.mean(drawn, 0), [0, expected(mean, 1.0, 1.0, 1.0)], atol=0.6)
    assert min(drawn)[0] < 0


def test_two_points_each():
    """By hand: within a set the kernel is 1, across exp(-a²/2)."""
    x, y = np.zeros((2, 1)), np.full((2, 1), 1.7)
    assert_allclose(kernel_distance(x, y, 1.0), 100 * (2 - 2 * np.exp(-(1.7**2) / 2)))


def test_units_do_not_matter(rng):
    """With the reference's own bandwidth, only the shape of the sets counts; blocks do not."""
    x, y = rng.standard_normal((1100, 4)), 1.3 * rng.standard_normal((1300, 4))
    found = kernel_distance(x, y)
    assert_allclose(kernel_distance(1e3 * x + 5e4, 1e3 * y + 5e4), found, rtol=1e-6)
    order = rng.permutation(1100)
    assert_allclose(kernel_distance(x[order], y), found, rtol=1e-9)
    assert kernel_distance(y[::2], y[1::2]) < 0.1 * found


def test_the_median(rng):
    """Of 0, 1, 4, 9 the distances are 1, 3, 4, 5, 8, 9."""
    assert_allclose(median_distance(np.array([[0.0], [1.0], [4.0], [9.0]])), 4.5)
    x = rng.standard_normal((9000, 5))  # |x - x'|² is 2 χ²₅, whose median is 4.3515
    assert_allclose(median_distance(x), np.sqrt(2 * 4.3515), rtol=0.02)


def test_what_cannot_be_compared(rng):
    x = rng.standard_normal((5, 3))
    with pytest.raises(InputError, match="all the same"):
        kernel_distance(x, np.ones((5, 3)))
    with pytest.raises(InputError, match="3 and of 2 dimensions"):
        kernel_distance(x, x[:, :2])
    with pytest.raises(InputError, match="at least two"):
        kernel_distance(x, x[:1])
