"""The shared layers against the operations that they stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from numpy.testing import assert_allclose

from gmsdi_jax.models.layers import Film, NoiseEmbedding, ShiftConv, pool, rms_norm
from gmsdi_jax.types import Text


def test_shift_conv_is_a_dilated_convolution(rng):
    """Three shifted copies times a matrix equal XLA's convolution with the same taps."""
    for dilation in (1, 3):
        layer = ShiftConv(5, 7, dilation, rngs=nnx.Rngs(0))
        layer.linear.bias[...] = jnp.asarray(rng.standard_normal(7), jnp.float32)
        x = jnp.asarray(rng.standard_normal((2, 20, 5)), jnp.float32)
        expected = jax.lax.conv_general_dilated(
            x,
            layer.linear.kernel[...].reshape(3, 5, 7),
            window_strides=(1,),
            padding=[(dilation, dilation)],
            rhs_dilation=(dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
        )
        assert_allclose(layer(x), expected + layer.linear.bias[...][None, None], atol=1e-5)


def test_film_scales_and_shifts_each_feature(rng):
    """A condition that selects one unit applies that unit's scale and shift, at every frame."""
    film = Film(3, 4, rngs=nnx.Rngs(0))
    scale, shift = rng.standard_normal((2, 4)).astype(np.float32)
    film.linear.kernel[...] = jnp.zeros((3, 8)).at[1].set(np.concatenate([scale, shift]))
    x = rng.standard_normal((2, 6, 4)).astype(np.float32)
    condition = jnp.asarray([[0.0, 1.0, 0.0], [5.0, 0.0, -2.0]], jnp.float32)
    out = np.asarray(film(jnp.asarray(x), condition))
    assert_allclose(out[0], x[0] * (1 + scale) + shift, atol=1e-5)
    assert_allclose(out[1], x[1], atol=1e-6)


def test_rms_norm_has_unit_power_and_keeps_the_direction(rng):
    """Every vector comes out with a root mean square of 1, parallel to itself."""
    x = rng.standard_normal((3, 5)).astype(np.float32) * np.float32([[1.0], [10.0], [100.0]])
    out = np.asarray(rms_norm(jnp.asarray(x)))
    assert_allclose((out**2).mean(-1), 1, rtol=1e-5)
    assert_allclose(out / out[:, :1], x / x[:, :1], rtol=1e-5)


def test_pool_is_the_mean_of_the_tokens_that_count(rng):
    """Masked tokens do not enter the mean; a row without a token pools to zero."""
    embedding = rng.standard_normal((3, 4, 2)).astype(np.float32)
    mask = np.array([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]], bool)
    out = pool(Text(jnp.asarray(embedding), jnp.asarray(mask)))
    expected = [embedding[0].mean(0), embedding[1, [1, 3]].mean(0), np.zeros(2)]
    assert_allclose(out, np.stack(expected), atol=1e-6)


@pytest.mark.parametrize("gap", [0.01, 0.5])
def test_noise_embedding_tells_levels_apart(gap):
    """Two noise levels have different features; equal levels have equal ones."""
    embed = NoiseEmbedding(8, rngs=nnx.Rngs(0))
    out = np.asarray(embed(jnp.asarray([-0.5, -0.5 + gap, -0.5])))
    assert_allclose(out[0], out[2])
    assert np.abs(out[0] - out[1]).max() > gap / 10
