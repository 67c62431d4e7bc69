"""T5 by what its parts must do; that it is the published network is shown in `tests/parity`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from parity.t5_case import CONFIGS, module, texts
from parity.weights import draw

from gmsdi_jax.arrays import flatten
from gmsdi_jax.models.t5 import T5Config

CONFIG = CONFIGS["gated"]


@pytest.fixture(scope="module")
def states():
    """Hidden states of texts."""
    params = jax.tree.map(jnp.asarray, draw(module(CONFIG).shapes))
    return jax.jit(lambda ids, mask: module(CONFIG).bind(params)(ids, mask))


def test_t5_small_has_35_million_weights():
    """As published, the embeddings counted once; six layers are one array of each kind."""
    flat = flatten(module(T5Config()).shapes)
    assert sum(leaf.size for leaf in flat.values()) == 35_330_816
    assert flat["layers.up.kernel"].shape == (6, 512, 2048)
    assert len(flat) == 9


def test_padding_is_not_seen(states):
    """Whatever stands there, and however much of it, the tokens before it have the same states."""
    ids, mask = texts(CONFIG, 8)
    answer = states(ids, mask)[1, :5]
    assert_allclose(states(np.where(mask, ids, 7), mask)[1, :5], answer, atol=1e-6)
    assert_allclose(states(ids[1:2, :5], mask[1:2, :5])[0], answer, atol=1e-5)
    assert np.abs(states(ids, np.ones_like(mask))[1, :5] - answer).max() > 0.1


def test_texts_do_not_see_each_other(states):
    """In whatever order they come."""
    ids, mask = texts(CONFIG, 8)
    assert_allclose(states(ids[::-1], mask[::-1])[::-1], states(ids, mask), atol=1e-5)


def test_a_text_without_tokens_has_finite_states(states):
    """Not NaN, though all of its logits are closed."""
    ids, mask = texts(CONFIG, 8)
    assert not mask[2].any()
    assert np.isfinite(states(ids, mask)).all()


def test_order_is_heard(states):
    """Only through the distances: the same tokens backwards have other states."""
    ids, mask = texts(CONFIG, 8)
    mask = np.ones_like(mask)
    assert np.abs(states(ids[:, ::-1], mask)[:2, ::-1] - states(ids, mask)[:2]).max() > 0.1


@pytest.mark.parametrize(("buckets", "farthest"), [(30, 128), (32, 8)])
def test_buckets_without_two_halves_are_refused(buckets, farthest):
    """Exact ones and logarithmic ones, in either direction."""
    with pytest.raises(ValueError, match=f"{buckets} buckets up to a distance of {farthest}"):
        T5Config(buckets=buckets, max_distance=farthest)
