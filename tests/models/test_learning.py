"""Both networks learn: a few steps on two fixed mixtures bring the loss down by a stated factor.

And every weight takes part in it.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gmsdi_jax.arrays import flatten
from gmsdi_jax.build import Model
from gmsdi_jax.config import ModelConfig
from gmsdi_jax.diffusion import denoising_loss
from gmsdi_jax.models import SpectralConfig, TagsConfig, UNet1dConfig

UNET = UNet1dConfig(
    text_features=8,
    channels=32,
    patch=16,
    multipliers=(1, 2),
    factors=(4,),
    blocks=(1,),
    attentions=(True,),
    heads=2,
    head_features=16,
)
SPECTRAL = SpectralConfig(
    text_features=8, fft=256, fine_bins=64, width=32, dilations=(1,), components=3
)
SIGMAS = jnp.asarray([0.05, 0.1, 0.2, 0.4], jnp.float32)


def two_mixtures():
    """Two sums of two sines at 0.1 rms, 1024 samples, each in two rows."""
    t = np.arange(1024) / 22050
    pairs = [(440.0, 1760.0), (660.0, 2970.0)]
    rows = [0.1 * sum(np.sin(2 * np.pi * f * t) for f in pair) for pair in pairs]
    return jnp.asarray(np.stack([*rows, *rows])[..., None], jnp.float32)


# A network that answers 0 is the best linear denoiser of white data; its loss is about 1.
# With one audio channel, the U-Net's last norm subtracts what the bias before it adds.
@pytest.mark.parametrize(
    ("network", "rate", "factor", "dead"),
    [(UNET, 3e-3, 10, {"network.leave.0.conv1.bias"}), (SPECTRAL, 1e-2, 6, set())],
    ids=["unet1d", "spectral"],
)
def test_overfits_two_mixtures(network, rate, factor, dead, draw_weights):
    """Sixty steps of Adam; every loss is measured on noise that was never seen before."""
    model = Model(ModelConfig(network=network, conditioner=TagsConfig(features=8), window=1024))
    audio = two_mixtures()
    tokens = model.prompt(["Bass, Piano", "Bass, Drums"] * 2)
    optimizer = optax.adam(rate)

    def loss(params, key):
        noise = jax.random.normal(key, audio.shape)
        text = model.embed(params, tokens)
        denoise = model.denoiser(params)
        rows = denoising_loss(
            denoise, audio, jnp.zeros_like(audio), text, SIGMAS, noise, model.config.sigma_data
        )
        return rows.mean()

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})  # quick to compile
    def step(params, state, key):
        value, gradient = jax.value_and_grad(loss)(params, key)
        with jax.numpy_dtype_promotion("standard"):  # optax multiplies floats and integers
            updates, state = optimizer.update(gradient, state)
        sizes = jax.tree.map(lambda leaf: jnp.abs(leaf).max(), gradient)
        return optax.apply_updates(params, updates), state, value, sizes

    params = draw_weights(model.shapes)
    state, losses, seen = optimizer.init(params), [], []
    for key in jax.random.split(jax.random.key(1), 60):
        params, state, value, sizes = step(params, state, key)
        losses.append(float(value))
        seen.append(flatten(sizes))
    assert np.mean(losses[-5:]) < losses[0] / factor
    largest = {name: max(float(sizes[name]) for sizes in seen) for name in seen[0]}
    assert {name for name, size in largest.items() if size < 1e-5} == dead
