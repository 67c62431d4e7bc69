"""EDM's preconditioning: unit variances, the best linear denoiser, and one sigma per row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles.words import text

from gmsdi_jax.diffusion import loss_weight, precondition, scalings
from gmsdi_jax.types import Text

SIGMA_DATA = 0.2
ROWS = Text(*(jnp.stack([leaf] * 3) for leaf in text((0.0, 1.0))))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("sigma", [1e-4, 0.03, 0.2, 1.0, 80.0])
def test_inputs_and_targets_have_unit_variance(sigma):
    """EDM appendix B.6: ``c_in``, ``c_out`` and the loss weight make every noise level alike."""
    s2, d2 = sigma**2, SIGMA_DATA**2
    c = scalings(jnp.asarray(sigma), SIGMA_DATA)
    assert_allclose(c.c_in**2 * (s2 + d2), 1, rtol=1e-12)
    # The network's target is (x0 - c_skip (x0 + noise)) / c_out.
    assert_allclose(((1 - c.c_skip) ** 2 * d2 + c.c_skip**2 * s2) / c.c_out**2, 1, rtol=1e-8)
    assert_allclose(loss_weight(jnp.asarray(sigma), SIGMA_DATA) * c.c_out**2, 1, rtol=1e-12)
    assert_allclose(jnp.exp(4 * c.c_noise), sigma, rtol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("sigma", [0.01, 0.2, 5.0])
def test_silent_network_is_the_best_linear_denoiser(sigma, rng):
    """A network that answers 0 leaves ``x sigma_data^2 / (sigma_data^2 + sigma^2)``."""
    x = jnp.asarray(rng.standard_normal((3, 8, 1)))
    denoise = precondition(lambda x, c_noise, text: jnp.zeros_like(x), SIGMA_DATA)
    best = SIGMA_DATA**2 / (SIGMA_DATA**2 + sigma**2)
    assert_allclose(denoise(x, jnp.asarray(sigma), ROWS), best * x, rtol=1e-12)


def test_one_level_for_all_equals_a_level_per_row(rng):
    """A scalar sigma is that sigma in every row, and a row sees its own level alone."""
    network = lambda x, c_noise, text: jnp.tanh(x + c_noise[:, None, None])  # noqa: E731
    denoise = precondition(network, SIGMA_DATA)
    x = jnp.asarray(rng.standard_normal((3, 8, 1)), jnp.float32)
    levels = jnp.array([0.01, 0.3, 2.0])
    rows = denoise(x, levels, ROWS)
    assert_array_equal(denoise(x, jnp.full(3, 0.3), ROWS), denoise(x, jnp.asarray(0.3), ROWS))
    for row, level in enumerate(levels):
        assert_allclose(rows[row], denoise(x, level, ROWS)[row], rtol=1e-6)


def test_network_sees_scaled_audio_noise_level_and_text(rng):
    """``F(c_in x, ln(sigma) / 4, text)``, with one noise level per row."""
    seen = []
    network = lambda *inputs: seen.append(inputs) or inputs[0]  # noqa: E731
    x = jnp.asarray(rng.standard_normal((3, 8, 1)), jnp.float32)
    precondition(network, SIGMA_DATA)(x, jnp.asarray(0.5), ROWS)
    (scaled, c_noise, words) = seen[0]
    assert_allclose(scaled, x / np.sqrt(0.5**2 + SIGMA_DATA**2), rtol=1e-6)
    assert_allclose(c_noise, np.full(3, np.log(0.5) / 4), rtol=1e-6)
    assert words is ROWS


def test_limit_clips_the_answer_and_nothing_else(rng):
    """``limit`` bounds the denoised audio, as audio-diffusion-pytorch does with 1."""
    x = jnp.asarray(rng.standard_normal((3, 8, 1)) * 3, jnp.float32)
    network = lambda x, c_noise, text: 4 * x  # noqa: E731
    sigma = jnp.asarray(0.2)
    free = precondition(network, SIGMA_DATA)(x, sigma, ROWS)
    bound = precondition(network, SIGMA_DATA, limit=1.0)(x, sigma, ROWS)
    assert jnp.abs(free).max() > 1
    assert_array_equal(bound, jnp.clip(free, -1, 1))
    assert jax.jit(precondition(network, SIGMA_DATA))(x, sigma, ROWS).dtype == jnp.float32
