"""Guidance is an affine combination of two answers, got in one network call."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import words

from gmsdi_jax.compose import guide, per_source, stack_texts
from gmsdi_jax.types import Text

ROWS = 3


def rows_of(text: Text) -> Text:
    return Text(*(jnp.stack([leaf] * ROWS) for leaf in text))


@pytest.fixture
def x(rng) -> jax.Array:
    return jnp.asarray(rng.standard_normal((ROWS, 5, 1)), jnp.float32)


@pytest.fixture
def text() -> Text:
    return rows_of(words.text((0.2, 0.04), (-0.5, 0.3)))


@pytest.fixture
def null() -> Text:
    """One row, and shorter than the text: joining the two must pad it."""
    return Text(*(leaf[None] for leaf in words.text((0.0, 1.0))))


def test_scale_one_is_off(null):
    """``guide(D, 1)`` is D itself: no second branch is computed."""
    assert guide(words.denoise, 1.0, null) is words.denoise


def test_scale_zero_ignores_the_text(x, text, null):
    """What is left is the answer to the null."""
    found = guide(words.denoise, 0.0, null)(x, jnp.asarray(0.4), text)
    nothing = words.denoise(x, jnp.asarray(0.4), rows_of(Text(*(leaf[0] for leaf in null))))
    assert_allclose(found, nothing, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale", [-1.0, 0.5, 2.0, 7.5])
def test_answer_is_linear_in_the_scale(scale, x, text, null):
    """``D(null) + w (D(text) - D(null))``, below 0, between and beyond 1."""
    at = [guide(words.denoise, w, null)(x, jnp.asarray(0.4), text) for w in (0.0, scale)]
    line = at[0] + scale * (words.denoise(x, jnp.asarray(0.4), text) - at[0])
    assert_allclose(at[1], line, rtol=1e-5, atol=1e-5)


def test_both_branches_are_one_network_call(x, text, null):
    """Twice the rows, once; the branches of a row stand side by side, at its own noise level."""
    spy, levels = words.Spy(), jnp.array([0.1, 0.4, 2.0])
    found = guide(spy, 3.0, null)(x, levels, text)
    assert spy.rows == [2 * ROWS]
    assert_array_equal(spy.sigmas[0], np.repeat(levels, 2))
    for row in range(ROWS):
        alone = guide(words.denoise, 3.0, null)(x, levels[row], text)
        assert_allclose(found[row], alone[row], rtol=1e-5, atol=1e-5)


def test_guided_sources_are_still_one_network_call(rng, null):
    """Windows, sources and branches are one batch of ``2 b k`` rows."""
    spy, texts = words.Spy(), stack_texts(words.text((0.2, 0.04)), words.text((0.0, 0.1)))
    x = jnp.asarray(rng.standard_normal((4, 2, 5, 1)), jnp.float32)
    assert per_source(guide(spy, 3.0, null), texts)(x, jnp.asarray(0.4)).shape == x.shape
    assert spy.rows == [2 * 4 * 2]


@pytest.mark.parametrize("tokens", [1, 3])
def test_negative_prompt_is_another_null(tokens, x, text):
    """A null per row and of any length: each row is led away from its own."""
    negatives = [[(0.3 * i + j, 0.5) for j in range(tokens)] for i in range(ROWS)]
    against = stack_texts(*(words.text(*tokens) for tokens in negatives))
    found = guide(words.denoise, 3.0, against)(x, jnp.asarray(0.4), text)
    d_text, d_null = (words.denoise(x, jnp.asarray(0.4), t) for t in (text, against))
    assert_allclose(found, d_null + 3 * (d_text - d_null), rtol=1e-5, atol=1e-5)


def test_negative_prompts_repeat_over_the_windows(rng):
    """One negative per source serves every window: rows are windows of sources."""
    texts = stack_texts(words.text((0.2, 0.04)), words.text((0.0, 0.1)))
    against = stack_texts(words.text((0.5, 0.3)), words.text((-0.4, 0.2)))
    x = jnp.asarray(rng.standard_normal((3, 2, 5, 1)), jnp.float32)
    found = per_source(guide(words.denoise, 3.0, against), texts)(x, jnp.asarray(0.4))
    toward, away = (per_source(words.denoise, t)(x, jnp.asarray(0.4)) for t in (texts, against))
    assert_allclose(found, away + 3 * (toward - away), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.4, 1.0, 1.5])
def test_outside_its_interval_guidance_costs_and_does_nothing(sigma, x, text, null):
    """From .1 to 1, both included, it is guidance; elsewhere the denoiser itself, once."""
    spy, level = words.Spy(), jnp.asarray(sigma)
    with jax.disable_jit():
        found = guide(spy, 3.0, null, interval=(0.1, 1.0))(x, level, text)
    inside = 0.1 <= np.float32(sigma) <= 1.0 or sigma == 0.1
    assert spy.rows == [2 * ROWS if inside else ROWS]
    expected = (guide(words.denoise, 3.0, null) if inside else words.denoise)(x, level, text)
    assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_interval_is_asked_row_by_row(x, text, null):
    """Rows at their own levels: each is guided or not, as it would be alone."""
    levels = jnp.array([0.05, 0.4, 2.0])
    guided = guide(words.denoise, 3.0, null, interval=(0.1, 1.0))
    found = guided(x, levels, text)
    for row in range(ROWS):
        assert_allclose(found[row], guided(x, levels[row], text)[row], rtol=1e-5, atol=1e-5)
