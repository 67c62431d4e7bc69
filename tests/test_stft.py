"""The transform's inverse is exact for every length, and white noise has its own power per bin."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gmsdi_jax.stft import apply_gain, istft, sine_window, stft


@pytest.mark.parametrize("length", [1, 64, 65, 1023])
@pytest.mark.parametrize(("size", "hop"), [(256, 64), (256, 128), (96, 32)])
def test_inverse_is_exact(length, size, hop, rng):
    """Reconstruction to rounding: odd lengths, lengths below a frame, any overlap."""
    x = jnp.asarray(rng.standard_normal((2, length)), jnp.float32)
    z = stft(x, size, hop)
    assert z.shape[-1] == size // 2 + 1
    back = istft(z, size, hop, length)
    assert back.dtype == jnp.float32
    assert_allclose(back, x, atol=2e-6)


@pytest.mark.usefixtures("x64")
def test_inverse_is_exact_in_float64(rng):
    """The error above is float32's, not the transform's."""
    x = jnp.asarray(rng.standard_normal(1001))
    assert_allclose(istft(stft(x, 256, 64), 256, 64, 1001), x, rtol=0, atol=1e-13)


def test_unit_noise_has_unit_power_in_every_bin(rng):
    """``E |z|^2 = sigma^2`` away from the ends, so that power over sigma^2 is a local SNR."""
    n, sigma = 400, 0.3
    x = jnp.asarray(sigma * rng.standard_normal((n, 2048)), jnp.float32)
    power = np.abs(np.asarray(stft(x, 256, 64))[:, 4:-4]) ** 2
    # Frames are four times redundant: at least a quarter of them are independent.
    frames = n * power.shape[1] / 4
    assert_allclose(power.mean((0, 1)), np.full(129, sigma**2), rtol=5 * math.sqrt(2 / frames))
    assert_allclose(power.mean(), sigma**2, rtol=0.01)


def test_tone_is_found_in_its_bin():
    """A sine of whole periods per frame peaks at that bin, in every full frame."""
    x = jnp.asarray(np.sin(2 * np.pi * 20 / 256 * np.arange(4096)), jnp.float32)
    assert (np.abs(stft(x, 256, 64))[4:-4].argmax(-1) == 20).all()


def test_transform_is_linear_and_leaves_leading_axes_alone(rng):
    """Of sums the sum; of a batch the batch."""
    x, y = jnp.asarray(rng.standard_normal((2, 2, 3, 500)), jnp.float32)
    z = stft(x, 128, 32)
    assert_allclose(stft(2 * x + y, 128, 32), 2 * z + stft(y, 128, 32), atol=1e-4)
    assert_allclose(stft(x[1, 2], 128, 32), z[1, 2], atol=1e-5)
    assert_allclose(istft(z, 128, 32, 500)[1, 2], istft(z[1, 2], 128, 32, 500), atol=1e-6)


def test_real_gains_scale_and_gains_of_one_change_nothing(rng):
    """`apply_gain` is the product, without a complex gain."""
    z = stft(jnp.asarray(rng.standard_normal(500), jnp.float32), 128, 32)
    gain = jnp.asarray(rng.uniform(size=z.shape), jnp.float32)
    assert_allclose(apply_gain(gain, z), np.asarray(gain) * np.asarray(z), rtol=1e-6, atol=1e-7)
    assert (apply_gain(jnp.ones_like(gain), z) == z).all()


def test_gradient_passes_through_there_and_back(rng):
    """The round trip is the identity, so its gradient is too."""
    x = jnp.asarray(rng.standard_normal(300), jnp.float32)
    gradient = jax.grad(lambda x: (istft(stft(x, 128, 32), 128, 32, 300) * x).sum())(x)
    assert_allclose(gradient, 2 * x, atol=1e-5)


@pytest.mark.parametrize(("size", "hop"), [(256, 100), (256, 256), (100, 64)])
def test_hop_must_divide_the_size_and_overlap(size, hop):
    """Otherwise the squared window cannot overlap-add to one."""
    with pytest.raises(ValueError, match="hop that divides it"):
        sine_window(size, hop)


@pytest.mark.parametrize(("size", "hop"), [(256, 64), (256, 128), (1024, 256), (96, 32)])
def test_squared_window_overlap_adds_to_one(size, hop):
    """Every sample is counted once."""
    assert_allclose((sine_window(size, hop) ** 2).reshape(-1, hop).sum(0), np.ones(hop), rtol=1e-12)
