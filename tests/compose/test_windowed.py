"""Windows of one long signal: weights that sum to one, unheard by a denoiser that is local."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import words

from gmsdi_jax.compose import windowed
from gmsdi_jax.compose.windowed import fade, window_starts
from gmsdi_jax.types import Text

WINDOW = 64


def rows_of(text: Text, b: int) -> Text:
    return Text(*(jnp.stack([leaf] * b) for leaf in text))


@pytest.fixture
def text() -> Text:
    return words.text((0.2, 0.04), (-0.5, 0.3))


@pytest.mark.parametrize("hop", [16, 32, 48, 64])
@pytest.mark.parametrize("length", [1, 63, 64, 65, 100, 128, 1000])
def test_local_denoiser_is_unchanged(hop, length, text, rng):
    """Sample by sample nothing depends on the window: the windows are not to be heard."""
    x = jnp.asarray(rng.standard_normal((2, length, 1)), jnp.float32)
    found = jax.jit(windowed(words.denoise, WINDOW, hop))(x, jnp.asarray(0.4), rows_of(text, 2))
    plain = words.denoise(x, jnp.asarray(0.4), rows_of(text, 2))
    assert_allclose(found, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("hop", [16, 32, 48, 64])
@pytest.mark.parametrize("length", [64, 65, 100, 128, 1000])
def test_weights_sum_to_one(hop, length):
    """At every sample, for every hop; the windows cover the signal and stay inside it."""
    starts = window_starts(length, WINDOW, hop)
    total = np.zeros(length)
    for i, start in enumerate(starts):
        assert 0 <= start <= length - WINDOW
        total[start : start + WINDOW] += fade(jnp.asarray(starts), jnp.asarray(i), WINDOW, hop)
    assert_allclose(total, np.ones(length), rtol=1e-5)


def test_one_window_is_the_denoiser_itself(text, rng):
    """Up to a window's length nothing is cut, so a network gets what it was given."""
    spy, x = words.Spy(), jnp.asarray(rng.standard_normal((2, WINDOW, 1)), jnp.float32)
    found = windowed(spy, WINDOW, 32)(x, jnp.asarray(0.4), rows_of(text, 2))
    assert spy.rows == [2]
    assert_array_equal(found, words.denoise(x, jnp.asarray(0.4), rows_of(text, 2)))


def mean_of_window(x, sigma, text):
    """As far from local as can be: every sample answers with its window's mean."""
    return jnp.broadcast_to(x.mean(1, keepdims=True), x.shape)


def test_answers_fade_from_one_window_into_the_next(text):
    """Windows of mean 0 and 1: one speaks at either end, in the overlap they change places."""
    x = jnp.concatenate([jnp.zeros((1, 32, 1)), jnp.ones((1, 64, 1))], 1)
    found = windowed(mean_of_window, WINDOW, 32)(x, jnp.asarray(0.4), rows_of(text, 1))[0, :, 0]
    assert_allclose(found[:32], np.full(32, 0.5), rtol=1e-6)
    assert_allclose(found[64:], np.ones(32), rtol=1e-6)
    assert (np.diff(found) >= -1e-6).all()
    assert_allclose(found[48 - 1 : 48 + 1].mean(), 0.75, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 7, 100])
def test_rows_per_call_do_not_matter(rows, text, rng):
    """Few rows at a time: the same answer, and never more rows than allowed."""
    spy, x = words.Spy(), jnp.asarray(rng.standard_normal((3, 300, 1)), jnp.float32)
    levels = jnp.array([0.1, 0.4, 2.0])
    whole = windowed(words.denoise, WINDOW, 48)(x, levels, rows_of(text, 3))
    found = windowed(spy, WINDOW, 48, rows)(x, levels, rows_of(text, 3))
    assert_allclose(found, whole, rtol=1e-5, atol=1e-6)
    assert max(spy.rows) <= rows


def test_signals_do_not_hear_each_other_and_gradients_flow(text, rng):
    """A signal alone gives what it gives in a batch; the derivative is finite and not zero."""
    x = jnp.asarray(rng.standard_normal((2, 200, 1)), jnp.float32)
    long = windowed(mean_of_window, WINDOW, 48)
    both = long(x, jnp.asarray(0.4), rows_of(text, 2))
    assert_array_equal(both[:1], long(x[:1], jnp.asarray(0.4), rows_of(text, 1)))
    slope = jax.grad(lambda x: (long(x, jnp.asarray(0.4), rows_of(text, 2)) ** 2).sum())(x)
    assert np.isfinite(slope).all()
    assert (np.abs(slope).sum(1) > 0).all()


@pytest.mark.parametrize("hop", [0, 65])
def test_hop_must_fit(hop):
    """Windows have to touch."""
    with pytest.raises(ValueError, match=f"hop {hop}"):
        windowed(words.denoise, WINDOW, hop)
