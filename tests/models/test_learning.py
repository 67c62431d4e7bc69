"""Both networks learn: a few steps on two fixed mixtures bring the loss down by a stated factor."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose

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
    text_features=8, fft=256, fine_bins=64, width=32, dilations=(1, 2), components=3
)
SIGMAS = jnp.asarray([0.05, 0.1, 0.2, 0.4], jnp.float32)


def two_mixtures():
    """Two sums of two sines at 0.1 rms, 1024 samples, each in two rows."""
    t = np.arange(1024) / 22050
    pairs = [(440.0, 1760.0), (660.0, 2970.0)]
    rows = [0.1 * sum(np.sin(2 * np.pi * f * t) for f in pair) for pair in pairs]
    return jnp.asarray(np.stack([*rows, *rows])[..., None], jnp.float32)


# A network that answers 0 is the best linear denoiser of white data and has a loss of about 1.
@pytest.mark.parametrize(("network", "rate", "factor"), [(UNET, 3e-3, 4), (SPECTRAL, 1e-2, 4)])
def test_overfits_two_mixtures(network, rate, factor):
    """Sixty steps of Adam, fresh noise in each, measured on noise that was never trained on."""
    model = Model(ModelConfig(network=network, conditioner=TagsConfig(features=8), window=1024))
    audio = two_mixtures()
    tokens = model.tokens(["Bass, Piano", "Bass, Drums"] * 2)
    optimizer = optax.adam(rate)

    def loss(params, key):
        noise = jax.random.normal(key, audio.shape)
        text = model.embed(params, tokens)
        denoise = model.denoiser(params)
        rows = denoising_loss(
            denoise, audio, jnp.zeros_like(audio), text, SIGMAS, noise, model.config.sigma_data
        )
        return rows.mean()

    @jax.jit
    def fit(params):
        def step(carry, number):
            params, state = carry
            value, gradient = jax.value_and_grad(loss)(params, jax.random.key(number))
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, updates), state), value

        trained, losses = jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(60))
        unseen = jax.random.key(1000)
        return losses, loss(params, unseen), loss(trained[0], unseen)

    losses, before, after = fit(model.init(jax.random.key(0)))
    print(before, losses, after)
    assert after < before / factor
