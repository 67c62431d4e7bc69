"""The median over seconds, of tracks whose every second is known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gmsdi_jax.metrics.medians import median, track_medians

RATE = 1000


def seconds(decibels, rng, tail=0):
    """A reference, and an estimate whose SDR in each second is as given."""
    reference = rng.standard_normal((1, len(decibels) * RATE + tail))
    gains = np.repeat(1 - 10 ** (-np.array(decibels) / 20), RATE)
    return reference * np.pad(gains, (0, tail)), reference


def test_a_track_is_the_median_of_its_seconds(rng):
    estimates, references = seconds([0, 30, 10, 20, 5], rng)
    assert_allclose(track_medians(estimates, references, RATE), [10], atol=1e-4)


def test_the_tail_behind_the_last_second_does_not_count(rng):
    estimates, references = seconds([10, 20], rng, tail=RATE - 1)
    assert_allclose(track_medians(estimates, references, RATE), [15], atol=1e-4)


def test_silent_references_do_not_count_and_silent_estimates_do(rng):
    estimates, references = seconds([0, 20, 30, 40, 50], rng)
    references[:, 3 * RATE :] = 0
    assert_allclose(track_medians(estimates, references, RATE), [20], atol=1e-4)
    assert np.isnan(track_medians(estimates, 0 * references, RATE)).all()


def test_a_short_track_is_one_window(rng):
    estimates, references = seconds([17], rng)
    got = track_medians(estimates[:, :300], references[:, :300], RATE)
    assert_allclose(got, [17], atol=1e-4)


@pytest.mark.parametrize(("values", "expected"), [([3, np.nan, 1], 2.0), ([np.nan], np.nan)])
def test_what_is_not_there_is_left_out(values, expected):
    assert_allclose(median(values), expected)
