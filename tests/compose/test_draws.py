"""What several draws are good for: their mean, their disagreement, and the filter built from them.

The sources are Gaussian and so is their posterior: source k of variance v_k in a mixture of
variance S has the posterior deviation ``sqrt(v_k (1 - v_k / S))``, ``sqrt(1 - v_k / S)`` of its
rms. Draws come from the exact posterior, but where it is a sampler that is tested.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.bands import BLOCK, Bands, bands, si_sdr
from oracles.gaussian import by_covariance, deviations, posterior, prior, spectra

from gmsdi_jax.compose import project, uncertainty, wiener
from gmsdi_jax.diffusion import daps, initial_noise, karras, sample

SIZE = 64


def sampled(variance: np.ndarray, mixture: jax.Array, n: int) -> jax.Array:
    """Draws ``[n k t 1]`` by a sampler that is exact here: DAPS, 8 steps."""
    rows, keys = jnp.repeat(mixture[None], n, 0), jax.random.split(jax.random.key(1), n)
    grid, shape = karras(8), (*variance.shape, 1)
    denoise = project(prior(variance), rows, by_covariance(variance))

    @jax.jit
    def run(keys):
        start = initial_noise(keys, grid[0], shape, mixture.dtype)
        return sample(keys, denoise, daps(deviations(variance)), grid, start)

    return run(keys)


def sdr(estimate, stems) -> float:
    """Signal-to-distortion ratio of all sources together, dB."""
    e, s = np.asarray(estimate, np.float64), np.asarray(stems, np.float64)
    return float(10 * np.log10((s**2).sum() / ((s - e) ** 2).sum()))


@pytest.mark.usefixtures("x64")
def test_averaging_law_of_real_draws(rng):
    """``SDR(N) = SDR_inf - 10 log10(1 + 1/N)``, to .1 dB, with SDR_inf the posterior mean's."""
    variance = np.tile(spectra(bins=256), (1, 40))
    stems = (np.sqrt(variance) * rng.standard_normal(variance.shape))[..., None]
    mixture = jnp.asarray(stems.sum(0))
    draws = sampled(variance, mixture, 16)
    assert_allclose(draws.sum(1), jnp.stack([mixture] * 16), atol=1e-9)
    best = sdr(posterior(variance).gain[..., None] * np.asarray(mixture), stems)
    for n in (1, 2, 4, 8, 16):
        expected = best - 10 * np.log10(1 + 1 / n)
        assert_allclose(sdr(draws[:n].mean(0), stems), expected, atol=0.1)


LEVELS = np.array([1.0, 0.3, 0.05, 0.01])  # variances of white sources: the same in every bin
WHITE = Bands(jnp.asarray(LEVELS[:, None, None] * np.ones((20, BLOCK // 2 + 1)), jnp.float32))


@pytest.mark.parametrize("n", [2, 3, 16])
def test_uncertainty_is_the_posteriors(n, rng):
    """``sqrt(1 - v_k / S)``: 2 draws are as unbiased as 16, but where 1 cuts off their chance."""
    mixture = WHITE.draw(rng, 1).sum(1)
    found = np.asarray(uncertainty(WHITE.posterior_draws(rng, mixture, n), SIZE, 9, 9))[0, :, 0]
    assert found.min() >= 0
    assert found.max() <= 1
    known = slice(2 if n < 16 else 4)  # the loud sources are far from 1
    # Chance is a percent; the ratio of means over 9 x 9 cells is up to 4 % above that of all.
    expected = (1 - LEVELS / LEVELS.sum())[known]
    assert_allclose((found[known] ** 2).mean((1, 2)), expected, rtol=0.06)


def test_uncertainty_is_zero_where_draws_agree_and_one_where_they_share_nothing(rng):
    """Copies of one draw, and independent noise."""
    one = jnp.asarray(rng.standard_normal((2, 1, 3, 4000, 1)), jnp.float32)
    agreed = uncertainty(jnp.repeat(one, 4, 1), SIZE)
    assert_allclose(agreed, np.zeros(agreed.shape), atol=1e-3)  # float32: the root of 1e-7
    noise = jnp.asarray(rng.standard_normal((2, 8, 3, 4000, 1)), jnp.float32)
    assert_allclose(uncertainty(noise, SIZE, 9, 9).mean(), 1, atol=0.03)
    with pytest.raises(ValueError, match="at least 2 draws, got 1"):
        uncertainty(one)


def test_uncertainty_is_of_the_bin(rng):
    """Draws that agree below a quarter of the bandwidth and not above: 0 there, 1 here."""
    shared, own = rng.standard_normal((2, 1, 8, 1, 8192, 1))
    shared = np.repeat(shared[:, :1], 8, 1)
    low = np.fft.rfftfreq(8192)[None, None, None, :, None] < 0.125
    draws = np.fft.irfft(
        np.where(low, np.fft.rfft(shared, axis=3), np.fft.rfft(own, axis=3)), axis=3
    )
    found = np.asarray(uncertainty(jnp.asarray(draws, jnp.float32), 256, 9, 3))[0, 0, 0]
    assert found[8:-8, :28].max() < 0.05  # of 129 bins, those below 32 are shared
    assert found[8:-8, 36:].mean() > 0.9


def test_filter_of_many_draws_is_the_wiener_filter(rng):
    """Its gain is ``v_k / S``; what one draw's chance adds to the error falls with the draws.

    The mixture's own chance stays: only more smoothing removes it.
    """
    mixture = WHITE.draw(rng, 1).sum(1)
    draws, exact = WHITE.posterior_draws(rng, mixture, 16), WHITE.posterior_mean(mixture)

    def error(n: int, frames: int, bins: int) -> float:
        found = wiener(draws[:, :n], mixture, SIZE, frames, bins)
        assert_allclose(found.sum(1), mixture, atol=1e-5)
        return float(((found - exact) ** 2).mean() / (exact**2).mean())

    found = [error(1, 3, 3), error(4, 3, 3), error(16, 3, 3), error(16, 9, 9)]
    assert_allclose(found, [0.048, 0.017, 0.009, 0.0021], rtol=0.2)


def test_each_iteration_of_the_filter_squares_the_shares(rng):
    """Built from its own result ``g_k y``, the filter is ``g_k^2 / sum g^2``: it sharpens."""
    mixture = jnp.asarray(rng.standard_normal((1, 3000, 1)), jnp.float32)
    gains = np.array([0.6, 0.3, 0.1], np.float32)
    for iterations in (1, 2, 3):
        power = gains ** (2.0**iterations)
        stems = jnp.asarray(gains)[None, :, None, None] * mixture[:, None]
        found = wiener(stems, mixture, SIZE, iterations=iterations)
        expected = (power / power.sum())[None, :, None, None] * mixture[:, None]
        assert_allclose(found, expected, atol=2e-5)


def test_filters_of_coloured_draws(rng):
    """SI-SDR of bands that change: a draw .97 dB, its filter 3.8, that of 8 draws 4.1, as their
    mean; the posterior mean 4.9. A second iteration sharpens what is right already: 3.4 and 3.6."""
    source = bands()
    stems = source.draw(rng, 2)
    mixture = stems.sum(1)
    draws = source.posterior_draws(rng, mixture, 8)
    one, eight = draws[:, :1], draws
    found = [
        draws[:, 0],
        wiener(one, mixture, 512),
        wiener(eight, mixture, 512),
        draws.mean(1),
        source.posterior_mean(mixture),
        wiener(one, mixture, 512, iterations=2),
        wiener(eight, mixture, 512, iterations=2),
    ]
    expected = [0.97, 3.82, 4.07, 4.13, 4.85, 3.42, 3.57]
    assert_allclose([si_sdr(estimate, stems) for estimate in found], expected, atol=0.05)
