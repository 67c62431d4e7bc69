"""The U-Net has the published shape and arithmetic; see `tests/parity/test_unet.py` for answers."""

import re
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.models import Pure, UNet1d, UNet1dConfig
from gmsdi_jax.models.linear import TransposedConv, conv
from gmsdi_jax.models.norms import GroupNorm, LayerNorm
from gmsdi_jax.models.unet1d import fold, unfold
from gmsdi_jax.models.unet1d_blocks import ResnetBlock, transformer
from gmsdi_jax.types import Text

SMALL = UNet1dConfig(
    text_features=8,
    channels=16,
    patch=4,
    multipliers=(1, 2),
    factors=(4,),
    blocks=(1,),
    attentions=(1,),
    heads=2,
    head_features=8,
)


def pure(config):
    return Pure(lambda rngs: UNet1d(config, rngs=rngs))


def inputs(rng, samples=512):
    x, words = rng.standard_normal((2, samples, 1)), rng.standard_normal((2, 3, 8))
    text = Text(jnp.asarray(words, jnp.float32), jnp.ones((2, 3), bool))
    return jnp.asarray(x, jnp.float32), jnp.asarray([-1.0, 0.2], jnp.float32), text


def test_without_text_no_text_is_heard(rng):
    """Also one of no tokens at all is taken."""
    unet = pure(replace(SMALL, text_features=None))
    assert "text" not in str(unet.shapes)
    x, c_noise, _ = inputs(rng)
    nothing = Text(jnp.zeros((2, 0, 0)), jnp.zeros((2, 0), bool))
    out = jax.eval_shape(lambda p: unet.bind(p)(x, c_noise, nothing), unet.shapes)
    assert out.shape == x.shape


def test_presets_fit_their_windows():
    """2^18 samples are 32 positions at the bottleneck: one per 8192 samples."""
    assert UNet1dConfig.paper().multiple == UNet1dConfig.msdm().multiple == 8192
    assert UNet1dConfig.tiny().multiple == 256
    assert UNet1dConfig(patch=2, patch_blocks=4).multiple == 8192
    count = sum(leaf.size for leaf in jax.tree.leaves(pure(UNet1dConfig.tiny()).shapes))
    assert 1.3e6 < count < 1.7e6


@pytest.mark.parametrize("wrong", [{"blocks": (2, 2)}, {"attentions": (1,)}, {"factors": (4,)}])
def test_levels_that_do_not_match_are_refused(wrong):
    """Every level needs a factor, a number of blocks, a choice of attention and a width."""
    with pytest.raises(ValueError, match=r"factors has \d+ levels"):
        UNet1dConfig(**wrong)


def test_what_no_published_network_has_is_refused():
    """Types and places by name; several transformer blocks only where 0.0.97 has them."""
    with pytest.raises(ValueError, match=r"dtype is 'float16'"):
        UNet1dConfig(dtype="float16")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"text_in is 'everywhere'"):
        UNet1dConfig(text_in="everywhere")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="2 transformer blocks"):
        UNet1dConfig(attentions=(0, 0, 0, 0, 0, 2))


def test_patches_are_folded_and_unfolded():
    """Folding moves neighbouring samples into one position; unfolding is its inverse."""
    x = np.arange(2 * 64 * 2, dtype=np.float32).reshape(2, 64, 2)
    folded = fold(jnp.asarray(x), 16)
    assert folded.shape == (2, 4, 32)
    assert_array_equal(folded[0, 1, :16], x[0, 16:32, 0])
    assert_array_equal(unfold(folded, 16), x)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_transposed_convolution_is_the_transpose_of_a_convolution(factor, rng):
    """<y, up(x)> = <down(y), x> with XLA's strided convolution of the same taps."""
    layer = TransposedConv(5, 3, factor, rngs=nnx.Rngs(0))
    layer.bias[...] = jnp.zeros(3)
    x = jnp.asarray(rng.standard_normal((2, 7, 5)), jnp.float32)
    y = jnp.asarray(rng.standard_normal((2, 7 * factor, 3)), jnp.float32)
    before = (factor + 1) // 2
    down = jax.lax.conv_general_dilated(
        y,
        layer.kernel[...].transpose(1, 2, 0),
        window_strides=(factor,),
        padding=[(before, factor - before)],
        dimension_numbers=("NWC", "WIO", "NWC"),
    )
    assert layer(x).shape == y.shape
    assert_allclose((layer(x) * y).sum(), (down * x).sum(), rtol=1e-5)


def test_norms_have_unit_variance_far_from_zero(rng):
    """Also where the mean is a thousand times the deviation, and in half precision."""
    x = jnp.asarray(1000 + rng.standard_normal((2, 50, 12)), jnp.float32)
    out = np.asarray(GroupNorm(12, 3)(x)).reshape(2, 50, 3, 4)
    assert_allclose(out.std((1, 3)), 1, rtol=1e-3)
    assert_allclose(out.mean((1, 3)), 0, atol=1e-3)
    assert_allclose(np.asarray(LayerNorm(12)(x)).std(-1), 1, rtol=1e-3)
    loud = (1e4 * (x - 1000)).astype(jnp.bfloat16)
    assert GroupNorm(12, 3)(loud).dtype == LayerNorm(12)(loud).dtype == jnp.bfloat16
    assert_allclose(np.asarray(GroupNorm(12, 3)(loud), np.float32).std((1,)).mean(), 1, rtol=2e-2)
    with pytest.raises(ValueError, match="12 features do not divide into 5 groups"):
        GroupNorm(12, 5)


def test_layers_start_as_pytorchs(key):
    """Uniform within 1 / sqrt(fan-in), biases too; a transposed convolution counts its outputs."""
    rngs = nnx.Rngs(key)
    for layer, fan_in in (
        (conv(32, 64, 9, rngs=rngs), 32 * 9),
        (TransposedConv(32, 64, 2, rngs=rngs), 64 * 4),
    ):
        for values in (layer.kernel[...], layer.bias[...]):
            assert 0.9 < np.abs(values).max() * fan_in**0.5 <= 1
        assert_allclose(layer.kernel[...].std() * fan_in**0.5, 3**-0.5, rtol=0.02)


class TwoBlocks(NamedTuple):
    """A transformer and then a residual block, as a function of a configuration and arrays."""

    block: Pure
    attends: Pure

    @classmethod
    def of(cls, config):
        return cls(
            Pure(lambda rngs: ResnetBlock(32, 16, 5, config, rngs=rngs)),
            Pure(lambda rngs: transformer(32, 1, config, rngs=rngs)),
        )

    @property
    def shapes(self):
        return {"block": self.block.shapes, "attends": self.attends.shapes}

    def __call__(self, p, x, time, words):
        text = Text(words, jnp.ones(words.shape[:2], bool))
        x = self.attends.bind(p["attends"])(x, text)
        return self.block.bind(p["block"])(x, time, text)


def signals(rng, positions=6):
    shapes = (2, positions, 32), (2, 5), (2, 3, 8)
    return [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes]


def test_half_precision_is_a_percent_off(draw_weights, rng):
    """And not exact, or it would be no half precision."""
    weights, (x, time, words) = draw_weights(TwoBlocks.of(SMALL).shapes), signals(rng)
    rough = TwoBlocks.of(replace(SMALL, dtype="bfloat16"))
    exact = np.asarray(jax.jit(TwoBlocks.of(SMALL).__call__)(weights, x, time, words))
    found = jax.jit(rough.__call__)(weights, x.astype(jnp.bfloat16), time, words)
    error = np.asarray(found, np.float32) - exact
    assert 1e-3 < np.sqrt(np.mean(error**2) / np.mean(exact**2)) < 2e-2


def test_half_precision_is_inside_only(rng):
    """Convolutions are in bfloat16; softmax, norms, the answer, weights and gradients are not."""
    half = pure(replace(SMALL, dtype="bfloat16"))

    def answer(p):
        return half.bind(p)(*inputs(rng))

    program, out = jax.make_jaxpr(answer, return_shape=True)(half.shapes)
    assert out.dtype == jnp.float32
    kinds = "conv_general_dilated|exp|rsqrt"  # exp is softmax's, rsqrt the norms'
    types = re.findall(rf":(\w+)\[[\d,]*\] = ({kinds})\b", str(program))
    assert set(types) == {("bf16", "conv_general_dilated"), ("f32", "exp"), ("f32", "rsqrt")}
    gradient = jax.eval_shape(jax.grad(lambda p: answer(p).sum()), half.shapes)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype("float32")}


def test_recomputing_changes_no_gradient(draw_weights, rng):
    """Of blocks with respect to their weights, their input, the level and the text."""
    weights, args = draw_weights(TwoBlocks.of(SMALL).shapes), signals(rng)

    def gradients(remat):
        blocks = TwoBlocks.of(replace(SMALL, remat=remat))
        slope = jax.grad(lambda *args: (blocks(*args) ** 2).mean(), (0, 1, 2, 3))
        return jax.tree.leaves(jax.jit(slope)(weights, *args))

    for one, two in zip(gradients(False), gradients(True), strict=True):
        assert np.abs(one).max() > 1e-6
        assert_allclose(two, one, rtol=0, atol=1e-5 * np.abs(one).max())


@pytest.mark.parametrize("text_in", ["blocks", "transformer"])
def test_recomputing_holds_only_what_goes_in(text_in, rng):
    """Counted in numbers held for the backward pass, weights included.

    What XLA's analysis calls memory says nothing here: on the CPU it joins both passes again.
    """
    signal, time, words = signals(rng, 1000)

    def held(remat):
        blocks = TwoBlocks.of(replace(SMALL, text_in=text_in, remat=remat))

        def backward(*args):
            return jax.vjp(blocks, *args)[1]

        kept = jax.eval_shape(backward, blocks.shapes, signal, time, words)
        weights = sum(leaf.size for leaf in jax.tree.leaves(blocks.shapes))
        return sum(leaf.size for leaf in jax.tree.leaves(kept)) - weights

    assert held(False) > 20 * signal.size
    assert held(True) < 3 * signal.size  # each block's input, and the little rest
