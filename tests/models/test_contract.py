"""What every network promises, whatever it is made of: shapes, rows, tokens, gradients."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.models import Spectral, SpectralConfig, UNet1d, UNet1dConfig
from gmsdi_jax.types import Text

FEATURES = 8
SMALL = {
    "text_features": FEATURES,
    "fft": 256,
    "fine_bins": 50,  # 129 bins: the last band is narrower than the others
    "width": 16,
    "dilations": (2,),
    "components": 3,
}

UNET = UNet1dConfig(
    text_features=FEATURES,
    channels=8,
    patch=4,
    multipliers=(1, 1),
    factors=(2,),
    blocks=(1,),
    attentions=(True,),
    heads=2,
    head_features=4,
    groups=4,
)


class Case(NamedTuple):
    """A network as a pure function of its weights, and lengths that it takes."""

    apply: object
    params: dict
    lengths: tuple[int, int]


def case(make, draw_weights, lengths):
    graph, state = nnx.split(nnx.eval_shape(make), nnx.Param)
    params = draw_weights(nnx.to_pure_dict(state))

    def apply(params, x, c_noise, text):
        return nnx.merge(graph, params)(x, c_noise, text)

    return Case(apply, params, lengths)


def named(params):
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {".".join(str(part.key) for part in path): leaf for path, leaf in leaves}


@pytest.fixture(scope="module", params=["spectral", "spectral, everything on", "unet1d"])
def network(request, draw_weights):
    if request.param == "unet1d":
        return case(lambda: UNet1d(UNET, rngs=nnx.Rngs(0)), draw_weights, (64, 136))
    extra = request.param.endswith("on")
    config = SpectralConfig(**SMALL, text_in_trunk=extra, residual=extra)
    return case(lambda: Spectral(config, rngs=nnx.Rngs(0)), draw_weights, (700, 1024))


@pytest.fixture(scope="module")
def jitted(network):
    return jax.jit(network.apply)


def inputs(length, rows=3, tokens=3, seed=0):
    """Rows of unit noise, levels, and texts of which row r has r + 1 tokens (3 at most)."""
    rng = np.random.default_rng(seed)
    mask = np.arange(tokens)[None] <= np.minimum(np.arange(rows), 2)[:, None]
    return (
        jnp.asarray(rng.standard_normal((rows, length, 1)), jnp.float32),
        jnp.asarray(rng.uniform(-1, 0, rows), jnp.float32),
        Text(
            jnp.asarray(rng.standard_normal((rows, tokens, FEATURES)), jnp.float32),
            jnp.asarray(mask),
        ),
    )


def test_shape_and_dtype_at_two_lengths(network):
    """The output is like the input, float32, at every length the network takes."""
    for length in network.lengths:
        args = inputs(length)
        out = jax.eval_shape(network.apply, network.params, *args)
        assert (out.shape, out.dtype) == (args[0].shape, jnp.float32)


@pytest.mark.parametrize("network", ["spectral, everything on"], indirect=True)
def test_jit_changes_nothing(network, jitted):
    """Compiled and plain execution agree (one network: plain execution compiles op by op)."""
    args = inputs(network.lengths[0])
    plain = network.apply(network.params, *args)
    assert np.abs(plain).max() > 0.01
    assert_allclose(jitted(network.params, *args), plain, atol=2e-5)


def test_answers_are_finite_and_not_zero(network, jitted):
    """Unit noise in, an answer of similar size out."""
    answer = np.asarray(jitted(network.params, *inputs(network.lengths[0])))
    assert np.isfinite(answer).all()
    assert np.abs(answer).max() > 0.01


def test_rows_are_independent(network, jitted):
    """A row's answer does not change when all the other rows do."""
    x, c_noise, text = inputs(network.lengths[0])
    other = inputs(network.lengths[0], seed=1)
    keep = np.array([False, True, False])

    def mixed(own, foreign):
        return jnp.where(keep.reshape(-1, *(1,) * (own.ndim - 1)), own, foreign)

    first = jitted(network.params, x, c_noise, text)
    second = jitted(network.params, *jax.tree.map(mixed, (x, c_noise, text), other))
    assert_allclose(second[1], first[1], atol=1e-5)
    assert np.abs(np.asarray(second[0] - first[0])).max() > 0.01


def test_token_order_does_not_matter(network, jitted):
    """Tokens permuted together with their mask are the same text."""
    x, c_noise, text = inputs(network.lengths[0])
    order = jnp.array([2, 0, 1])
    permuted = Text(text.embedding[:, order], text.mask[:, order])
    assert_allclose(
        jitted(network.params, x, c_noise, permuted),
        jitted(network.params, x, c_noise, text),
        atol=2e-5,
    )


def test_masked_tokens_have_no_influence(network, jitted):
    """Garbage in masked tokens changes nothing; the same garbage in a token that counts does."""
    x, c_noise, text = inputs(network.lengths[0])
    garbage = text.embedding.at[0, 1:].set(50.0)  # row 0 has one token
    answer = jitted(network.params, x, c_noise, text)
    masked = jitted(network.params, x, c_noise, Text(garbage, text.mask))
    assert_array_equal(masked, answer)
    heard = jitted(network.params, x, c_noise, Text(garbage, text.mask.at[0].set(True)))
    assert np.abs(np.asarray(heard - answer))[0].max() > 1e-4
    assert_array_equal(heard[1:], answer[1:])


def test_noise_level_matters(network, jitted):
    """The same audio is answered differently at another noise level."""
    x, c_noise, text = inputs(network.lengths[0])
    first = jitted(network.params, x, c_noise, text)
    second = jitted(network.params, x, c_noise - 0.5, text)
    assert np.abs(np.asarray(second - first)).max() > 1e-4


@pytest.mark.parametrize("network", ["spectral", "spectral, everything on"], indirect=True)
def test_gradients_reach_every_parameter(network):
    """No weight is without influence on the output (for the U-Net: see test_learning)."""
    args = inputs(network.lengths[0])
    target = jnp.asarray(np.random.default_rng(2).standard_normal(args[0].shape), jnp.float32)

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})  # run once
    def gradient(params):
        return jax.grad(lambda p: jnp.mean((network.apply(p, *args) - target) ** 2))(params)

    sizes = {name: float(jnp.abs(g).max()) for name, g in named(gradient(network.params)).items()}
    assert np.isfinite(list(sizes.values())).all()
    assert {name for name, size in sizes.items() if size < 1e-5} == set()


def test_stray_float64_is_refused(network, x64):
    """Under strict promotion a float64 waveform fails loudly instead of being promoted."""
    x, c_noise, text = inputs(network.lengths[0])
    with pytest.raises(Exception, match=r"float64|promot"):
        network.apply(network.params, x.astype(jnp.float64), c_noise, text)


def test_unet_refuses_lengths_it_cannot_halve():
    """A length that is no multiple of patch times factors is a ValueError that names both."""
    assert UNET.multiple == 4 * 2
    unet = nnx.eval_shape(lambda: UNet1d(UNET, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=r"300 samples.*multiple of 8"):
        unet(*inputs(300))


def test_spectral_takes_one_channel():
    """Stereo rows are refused: channels are rows of their own."""
    spectral = nnx.eval_shape(lambda: Spectral(SpectralConfig(**SMALL), rngs=nnx.Rngs(0)))
    x, c_noise, text = inputs(512)
    with pytest.raises(ValueError, match="mono rows"):
        spectral(jnp.concatenate([x, x], -1), c_noise, text)
