"""The spectral denoiser is a Wiener filter whatever its weights: gains between 0 and 1."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.diffusion import precondition
from gmsdi_jax.models import Spectral, SpectralConfig, spectral
from gmsdi_jax.stft import istft, stft
from gmsdi_jax.types import Text

CONFIG = SpectralConfig(
    text_features=4,
    fft=256,
    fine_bins=50,  # 129 bins: the last of the 20 bands above holds 3 bins, not 4
    width=16,
    dilations=(1,),
    components=4,
)
SIGMAS = jnp.asarray([0.01, 0.1, 0.5], jnp.float32)


@pytest.fixture
def network(draw_weights):
    graph, state = nnx.split(nnx.eval_shape(lambda: Spectral(CONFIG, rngs=nnx.Rngs(0))), nnx.Param)
    return nnx.merge(graph, draw_weights(nnx.to_pure_dict(state)))


def denoised(network, x, sigma, text):
    return jax.jit(precondition(network, CONFIG.sigma_data))(x, sigma, text)


def one_hot_texts():
    """Texts of the labels 0 to 3, and last the text of all four."""
    embedding = jnp.broadcast_to(jnp.eye(4), (5, 4, 4))
    return Text(embedding, jnp.asarray(np.vstack([np.eye(4), np.ones(4)]).astype(bool)))


def row(text, number):
    return Text(*(leaf[number : number + 1] for leaf in text))


def noisy(rng, sigma=SIGMAS, length=1000):
    tone = 0.1 * np.sin(2 * np.pi * 0.03 * np.arange(length))
    noise = rng.standard_normal((len(sigma), length)) * np.asarray(sigma)[:, None]
    return jnp.asarray((tone + noise)[..., None], jnp.float32)


def all_open(network, level):
    """Every gate opens for every token; every local SNR is set by `level` alone."""
    network.gate.bias[...] = jnp.full(4, 50.0)
    network.leave.kernel[...] = jnp.zeros_like(network.leave.kernel[...])
    bands = CONFIG.components * network.bands
    network.leave.bias[...] = jnp.zeros_like(network.leave.bias[...]).at[:bands].set(level)


def test_certain_of_a_signal_it_returns_the_input(rng, network):
    """Huge local SNR and open gates: the mask tends to 1, so D(x) = x at every noise level."""
    all_open(network, 100.0)
    x, text = noisy(rng), row(one_hot_texts(), 0)
    texts = Text(*(jnp.repeat(leaf, 3, 0) for leaf in text))
    answer = denoised(network, x, SIGMAS, texts)
    assert_allclose(answer, x, atol=1e-5)


def test_certain_of_noise_it_returns_silence(rng, network):
    """Vanishing local SNR: the mask tends to 0, so D(x) = 0."""
    all_open(network, -100.0)
    x = noisy(rng)
    texts = Text(*(leaf[:3] for leaf in one_hot_texts()))
    assert_allclose(denoised(network, x, SIGMAS, texts), 0, atol=1e-5)


def test_answer_is_a_masked_spectrum(rng, network):
    """Per bin, D's spectrum is the input's times a real gain in [0, 1]."""
    x, texts = noisy(rng), Text(*(leaf[:3] for leaf in one_hot_texts()))

    @jax.jit
    def answer_and_spectrum(x):
        seen = []
        keep = mock.Mock(side_effect=lambda z, *sizes: seen.append(z) or istft(z, *sizes))
        with mock.patch.object(spectral, "istft", keep):
            return precondition(network, CONFIG.sigma_data)(x, SIGMAS, texts), seen[0]

    answer, spectrum = answer_and_spectrum(x)
    s = np.asarray(SIGMAS, np.float64)[:, None, None]
    total = s**2 + CONFIG.sigma_data**2
    given = np.asarray(stft(x[..., 0], 256, 64), np.complex128)
    answered = CONFIG.sigma_data**2 / total * given + s * CONFIG.sigma_data / np.sqrt(total) * (
        np.asarray(spectrum, np.complex128)
    )
    loud = np.abs(given) > 0.1 * np.asarray(SIGMAS)[:, None, None]
    gain = (answered[loud] / given[loud]).astype(np.complex128)
    assert np.abs(gain.imag).max() < 1e-4
    assert gain.real.min() > -1e-3
    assert gain.real.max() < 1 + 1e-3
    assert gain.real.std() > 0.05
    assert (np.asarray(answer) ** 2).sum() < (np.asarray(x) ** 2).sum()


def test_disjoint_texts_share_what_their_union_gets(rng, network):
    """With one-hot gates the answers to the single labels sum to the answer to all of them."""
    network.gate.kernel[...] = 100 * jnp.eye(4)
    network.gate.bias[...] = jnp.full(4, -50.0)
    texts = one_hot_texts()
    x = jnp.repeat(noisy(rng, SIGMAS[1:2]), 5, 0)
    answer = np.asarray(denoised(network, x, SIGMAS[1], texts))
    assert_allclose(answer[:4].sum(0), answer[4], atol=1e-6)
    assert np.abs(answer[:4]).max((1, 2)).min() > 1e-3


def test_every_bin_lies_in_one_band(network):
    """Bins are averaged into bands without gap or overlap, and each answer returns to its bins."""
    bins = CONFIG.fft // 2 + 1
    heard = np.asarray(network._to_bands(jnp.eye(bins)[None]))[0]
    assert heard.shape == (bins, network.bands)
    assert_array_equal((heard > 0).sum(1), 1)
    band_of = heard.argmax(1)
    assert_array_equal(band_of[:50], np.arange(50))
    assert_array_equal(band_of[50:], 50 + np.arange(bins - 50) // 4)
    assert_allclose(heard.sum(0), 1)

    network.leave.kernel[...] = jnp.zeros_like(network.leave.kernel[...])
    steps = 0.01 * jnp.arange(network.bands, dtype=jnp.float32)
    outputs = CONFIG.components * network.bands
    network.leave.bias[...] = (
        jnp.zeros_like(network.leave.bias[...]).at[:outputs].set(jnp.tile(steps, CONFIG.components))
    )
    xi = network._powers(jnp.zeros((1, 1, CONFIG.width)), jnp.ones((1, 1, bins)))
    level = np.log(np.asarray(xi))[0, 0] / 3
    answered = np.rint((level - level[:, :1]) / 0.01).astype(int)
    assert_array_equal(answered, np.tile(band_of, (CONFIG.components, 1)))
