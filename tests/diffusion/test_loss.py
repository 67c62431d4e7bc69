"""The denoising loss: its value at the optimum, and its cap on rows with interference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles.words import text

from gmsdi_jax.diffusion import denoising_loss, loss_weight, precondition
from gmsdi_jax.types import Text

SIGMA_DATA = 0.2
SIGMA = np.array([1e-3, 0.02, 0.2, 3.0])
ROWS = Text(*(jnp.stack([leaf] * 4) for leaf in text((0.0, 1.0))))


def orthogonal(rng: np.random.Generator, n: int = 64) -> jax.Array:
    """Three ``[4 n 1]`` signals of mean square 1, orthogonal to each other in every row."""
    q = np.stack([np.linalg.qr(rng.standard_normal((n, 3)))[0] for _ in SIGMA])
    return jnp.asarray(np.moveaxis(q * np.sqrt(n), -1, 0)[..., None])


def wiener(variance: jax.Array):
    """The optimal denoiser of Gaussian data whose row i has variance ``variance[i]``."""
    return lambda x, sigma, text: (variance / (variance + sigma**2))[:, None, None] * x


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("variance", [0.01, 0.04, 0.5])
def test_optimum_is_the_sum_of_posterior_variances(variance, rng):
    """The optimal Gaussian denoiser's loss is ``s sigma^2 / (s + sigma^2)`` times EDM's weight."""
    audio, noise, _ = orthogonal(rng)
    sigma = jnp.asarray(SIGMA)
    loss = denoising_loss(
        wiener(jnp.full(4, variance)), np.sqrt(variance) * audio, jnp.zeros_like(audio),
        ROWS, sigma, noise, SIGMA_DATA,
    )  # fmt: skip
    weight = (SIGMA**2 + SIGMA_DATA**2) / (SIGMA * SIGMA_DATA) ** 2
    assert_allclose(loss, variance * SIGMA**2 / (variance + SIGMA**2) * weight, rtol=1e-6)


@pytest.mark.usefixtures("x64")
def test_silent_network_has_loss_one_at_every_level(rng):
    """A network that answers 0 costs exactly 1 on data of standard deviation sigma_data."""
    audio, noise, _ = orthogonal(rng)
    silent = precondition(lambda x, c_noise, text: jnp.zeros_like(x), SIGMA_DATA)
    loss = denoising_loss(
        silent, SIGMA_DATA * audio, jnp.zeros_like(audio),
        ROWS, jnp.asarray(SIGMA), noise, SIGMA_DATA,
    )  # fmt: skip
    assert_allclose(loss, np.ones(4), rtol=1e-9)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("plain_cap", [None, 25.0])
def test_weight_is_capped_only_where_something_is_mixed_in(plain_cap, rng):
    """Rows with interference pay ``min(weight, cap / sigma_data^2)``; the others EDM's weight.

    Those others have a cap of their own for whoever asks for one.
    """
    caps = {"mixed_cap": 4.0} | ({} if plain_cap is None else {"plain_cap": plain_cap})
    audio, noise, other = orthogonal(rng)
    mixed = jnp.array([True, False, True, True])
    interference = jnp.where(mixed[:, None, None], 0.1 * other, 0.0)
    loss = denoising_loss(
        lambda x, sigma, text: x, audio, interference, ROWS,
        jnp.asarray(SIGMA), noise, SIGMA_DATA, **caps,
    )  # fmt: skip
    error = SIGMA**2 + np.where(mixed, 0.01, 0)  # the identity keeps noise and interference
    weight = np.asarray(loss_weight(jnp.asarray(SIGMA), SIGMA_DATA))
    cap = np.where(mixed, 4.0, plain_cap or np.inf) / SIGMA_DATA**2
    assert_array_equal(weight > cap, [True, plain_cap is not None, False, False])
    assert_allclose(loss, np.minimum(weight, cap) * error, rtol=1e-9)


def test_network_hears_the_sum_and_must_answer_the_audio(rng):
    """The input is ``audio + interference + sigma noise``; answering `audio` costs nothing."""
    audio, noise, other = (x.astype(jnp.float32) for x in orthogonal(rng))
    sigma = jnp.asarray(SIGMA, jnp.float32)
    heard = []

    def oracle(x, sigma, text):
        heard.append((x, text))
        return audio

    loss = denoising_loss(oracle, audio, other, ROWS, sigma, noise, SIGMA_DATA)
    assert_allclose(loss, np.zeros(4), atol=0)
    assert_allclose(heard[0][0], audio + other + sigma[:, None, None] * noise, rtol=1e-6)
    assert heard[0][1] is ROWS


def test_no_interference_is_interference_of_zeros(rng):
    """The paper's recipe sends none: the same loss, and no cap for mixed rows."""
    audio, noise, _ = (x.astype(jnp.float32) for x in orthogonal(rng))
    sigma = jnp.asarray(SIGMA, jnp.float32)
    losses = [
        denoising_loss(lambda x, s, t: x, audio, other, ROWS, sigma, noise, SIGMA_DATA)
        for other in (None, jnp.zeros_like(audio))
    ]
    assert_array_equal(*losses)
