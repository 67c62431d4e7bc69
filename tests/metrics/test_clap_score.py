"""Cosines, negatives and retrieval on vectors whose angles are known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gmsdi_jax.errors import InputError
from gmsdi_jax.metrics.clap_score import clap_score


def at(*degrees, length=1.0):
    angle = np.radians(degrees)
    return length * np.stack([np.cos(angle), np.sin(angle)], 1)


def test_known_angles():
    """Two clips of the first text, one of them nearer to the second; lengths do not count."""
    found = clap_score(at(10, 80, length=3.0), at(0, 90, 150), [0, 0])
    cos = np.cos(np.radians([10, 80, 10, 80]))
    assert_allclose(found.score, (cos[0] + cos[1]) / 2)
    # The others of the first clip are 80 and 140 degrees away, of the second 10 and 70.
    others = np.cos(np.radians([80, 140, 10, 70]))
    assert_allclose(found.negatives, others.mean())
    assert (found.accuracy, found.chance, found.clips) == (0.5, 1 / 3, 2)


def test_right_and_wrong_texts_change_places(rng):
    """Texts that are the clips: all right; texts in the wrong order: none."""
    audio = np.eye(4) + 0.1 * rng.standard_normal((4, 4))
    assert clap_score(audio, audio, range(4)).accuracy == 1
    assert clap_score(audio, audio[::-1], range(4)).accuracy == 0
    assert_allclose(clap_score(audio, audio, range(4)).score, 1)


def test_a_tie_is_no_retrieval():
    """An encoder that hears nothing, one vector for all, gets no clip right."""
    assert clap_score(np.ones((3, 2)), np.ones((2, 2)), [0, 1, 1]).accuracy == 0


def test_without_negatives():
    found = clap_score(at(60), at(0), [0])
    assert_allclose(found.score, 0.5)
    assert np.isnan([found.negatives, found.accuracy]).all()


@pytest.mark.parametrize("right", [[], [0], [0, 2], [-1, 0]])
def test_every_clip_has_a_text(right):
    with pytest.raises(InputError, match="one text per clip"):
        clap_score(at(1, 2), at(0, 90), right)
