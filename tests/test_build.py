"""A model is pure functions of a plain dict of weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.build import Model
from gmsdi_jax.config import ModelConfig
from gmsdi_jax.models import SpectralConfig, TagsConfig, UNet1dConfig

SPECTRAL = SpectralConfig(
    text_features=8, fft=256, fine_bins=64, width=16, dilations=(1,), components=3
)


@pytest.fixture(scope="module")
def model():
    return Model(ModelConfig(network=SPECTRAL, conditioner=TagsConfig(features=8), window=1024))


@pytest.fixture(scope="module")
def params(model):
    return model.init(jax.random.key(0))


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    x = jnp.asarray(0.1 * rng.standard_normal((3, 1024, 1)), jnp.float32)
    return x, jnp.asarray([0.05, 0.1, 0.3], jnp.float32)


def test_weights_follow_from_the_key(model, params):
    """The same key gives the same weights to the bit, another key gives others."""
    jax.tree.map(assert_array_equal, model.init(jax.random.key(0)), params)
    other = model.init(jax.random.key(1))
    kernel = "network", "enter", "kernel"
    values = [tree[kernel[0]][kernel[1]][kernel[2]] for tree in (params, other)]
    assert np.abs(np.asarray(values[0] - values[1])).max() > 0.01


@pytest.mark.parametrize("network", [SPECTRAL, UNet1dConfig.tiny(8)], ids=["spectral", "unet1d"])
def test_shapes_cost_no_weights(network):
    """Shapes come from tracing alone; weights are plain float32 arrays in nested dicts."""
    model = Model(ModelConfig(network=network, conditioner=TagsConfig(features=8), window=1024))
    shapes = model.shapes
    assert set(shapes) == {"conditioner", "network"}
    leaves = jax.tree.leaves(shapes)
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves)
    assert {leaf.dtype for leaf in leaves} == {np.dtype("float32")}
    assert len(leaves) > 10


def test_shapes_are_those_of_the_weights(model, params):
    """Names, shapes and types of `shapes` and of `init` are the same."""
    made = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), params)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), model.shapes) == made


def test_denoiser_is_pure_in_the_weights(model, params, rows):
    """jit, vmap over weights and grad apply to ``denoiser(params)`` as to any function."""
    x, sigma = rows
    text = model.embed(params, model.prompt(["Bass", "Bass, Drums", ""]))

    def answer(params):
        return model.denoiser(params)(x, sigma, text)

    compiled = jax.jit(answer)(params)
    assert compiled.shape == x.shape
    two = jax.tree.map(lambda leaf: jnp.stack([leaf, 1.5 * leaf]), params)
    both = jax.jit(jax.vmap(answer))(two)
    assert_allclose(both[0], compiled, atol=1e-5)
    scaled = jax.jit(answer)(jax.tree.map(lambda leaf: 1.5 * leaf, params))
    assert_allclose(both[1], scaled, atol=1e-5)
    assert np.abs(np.asarray(scaled - compiled)).max() > 1e-4
    gradient = jax.jit(jax.grad(lambda p: jnp.mean(answer(p) ** 2)))(params)
    assert jax.tree.structure(gradient) == jax.tree.structure(params)
    assert float(jnp.abs(gradient["network"]["enter"]["kernel"]).max()) > 0


def test_denoiser_takes_one_level_or_one_per_row(model, params, rows):
    """A scalar sigma is the same as that number for every row."""
    x, _ = rows
    text = model.embed(params, model.prompt(["Bass"] * 3))
    denoise = jax.jit(model.denoiser(params))
    level = jnp.asarray(0.1, jnp.float32)
    assert_allclose(denoise(x, level, text), denoise(x, jnp.full(3, level), text), atol=1e-6)


def test_no_text_is_the_learned_null(model, params):
    """An empty prompt embeds as the null's row of the table, the only one that counts."""
    text = model.embed(params, model.prompt(["", "Drums"]))
    assert_array_equal(text.mask, [[False] * 4 + [True], [False, True, False, False, False]])
    table = params["conditioner"]["table"]["embedding"]
    assert_array_equal(text.embedding[0, -1], table[-1])
    assert_array_equal(text.embedding[1, 1], table[1])
