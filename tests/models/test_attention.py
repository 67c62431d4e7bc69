"""Attention against a plain softmax over loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from numpy.testing import assert_allclose

from gmsdi_jax.models.attention import Attention


def normalised(x, scale):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(centred.var(-1, keepdims=True) + 1e-5) * scale


def by_loops(layer, x, source, mask, heads):
    """Softmax attention of one row, one head and one query at a time, in float64."""
    weight = {
        name: np.asarray(getattr(layer, name).kernel[...], np.float64)
        for name in ("query", "key_value", "out")
    }
    query = x @ weight["query"]
    key, value = np.split(source @ weight["key_value"], 2, -1)
    size = query.shape[-1] // heads
    out = np.zeros_like(query)
    for row in range(len(x)):
        counts = np.flatnonzero(mask[row])
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            for n in range(x.shape[1]):
                logits = key[row, counts, part] @ query[row, n, part] / np.sqrt(size)
                shares = np.exp(logits - logits.max())
                out[row, n, part] = shares / shares.sum() @ value[row, counts, part]
    return normalised(out @ weight["out"], np.asarray(layer.norm_out.scale[...]))


def scaled(norm, rng):
    norm.scale[...] = jnp.asarray(rng.uniform(0.5, 1.5, norm.scale.shape), jnp.float32)
    return np.asarray(norm.scale[...])


@pytest.mark.parametrize("heads", [1, 2])
def test_cross_attention_is_softmax_attention(rng, heads):
    """Queries from the normed signal, keys and values from the normed tokens that count."""
    layer = Attention(6, heads, 4, 5, rngs=nnx.Rngs(0))
    scales = [scaled(norm, rng) for norm in (layer.norm, layer.norm_context, layer.norm_out)]
    x, context = rng.standard_normal((2, 7, 6)), rng.standard_normal((2, 3, 5))
    mask = np.array([[True, False, True], [True, True, True]])
    expected = by_loops(
        layer, normalised(x, scales[0]), normalised(context, scales[1]), mask, heads
    )
    args = jnp.asarray(x, jnp.float32), jnp.asarray(context, jnp.float32), jnp.asarray(mask)
    assert_allclose(jax.jit(lambda *args: layer(*args))(*args), expected, atol=2e-5)


def test_self_attention_reads_one_normed_signal(rng):
    """Without a context, queries, keys and values come from the same norm; no second exists."""
    layer = Attention(6, 2, 4, rngs=nnx.Rngs(0))
    signal = normalised(x := rng.standard_normal((2, 7, 6)), scaled(layer.norm, rng))
    expected = by_loops(layer, signal, signal, np.ones((2, 7), bool), 2)
    answer = jax.jit(lambda x: layer(x))(jnp.asarray(x, jnp.float32))
    assert_allclose(answer, expected, atol=2e-5)
    assert layer.norm_context is None
