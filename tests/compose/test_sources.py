"""Several sources are one batch for the network, and each hears its own text alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import words

from gmsdi_jax.compose import per_source, stack_texts
from gmsdi_jax.types import Text

B, K, T = 2, 3, 6
SIGMA = 0.4


@pytest.fixture
def texts() -> Text:
    return stack_texts(
        words.text((0.2, 0.04), (-0.5, 0.3)), words.text((0.0, 0.1)), words.text((1.0, 0.02))
    )


@pytest.fixture
def x(rng) -> jax.Array:
    return jnp.asarray(rng.standard_normal((B, K, T, 1)), jnp.float32)


def test_texts_are_padded_with_masked_tokens(texts):
    """The longest text sets the length; what is added to the others does not count."""
    assert texts.embedding.shape == (3, 2, 2)
    assert_array_equal(texts.mask, [[True, True], [True, False], [True, False]])


def test_all_sources_are_one_network_call(texts, x):
    """One call on ``b * k`` rows."""
    spy = words.Spy()
    assert per_source(spy, texts)(x, jnp.asarray(SIGMA)).shape == x.shape
    assert spy.rows == [B * K]


def test_source_k_is_denoised_by_text_k(texts, x):
    """Each source of each window is the network's answer to that row and that text alone."""
    found = per_source(words.denoise, texts)(x, jnp.asarray(SIGMA))
    for k in range(K):
        text = Text(*(jnp.stack([leaf[k]] * B) for leaf in texts))
        alone = words.denoise(x[:, k], jnp.asarray(SIGMA), text)
        assert_allclose(found[:, k], alone, rtol=1e-6, atol=1e-6)


def test_one_text_for_all_windows_is_that_text_for_each(texts, x):
    """``[k s d]`` and its copies ``[b k s d]`` agree; differing windows are not mixed up."""
    shared = per_source(words.denoise, texts)(x, jnp.asarray(SIGMA))
    each = Text(*(jnp.stack([leaf] * B) for leaf in texts))
    assert_array_equal(per_source(words.denoise, each)(x, jnp.asarray(SIGMA)), shared)
    turned = Text(*(leaf.at[1].set(leaf[1, ::-1]) for leaf in each))
    found = per_source(words.denoise, turned)(x, jnp.asarray(SIGMA))
    assert_array_equal(found[0], shared[0])
    reversed_ = per_source(words.denoise, Text(*(leaf[::-1] for leaf in texts)))
    assert_array_equal(found[1], reversed_(x, jnp.asarray(SIGMA))[1])


def test_permuted_sources_give_permuted_answers(texts, x):
    """The order of the sources means nothing."""
    order = np.array([2, 0, 1])
    found = per_source(words.denoise, Text(*(leaf[order] for leaf in texts)))
    straight = per_source(words.denoise, texts)(x, jnp.asarray(SIGMA))
    assert_array_equal(found(x[:, order], jnp.asarray(SIGMA)), straight[:, order])
