"""Known sources stay on their path, stems sum to the mixture, and Dirac is MSDM's loop."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import words
from oracles.gaussian import noise, prior

from gmsdi_jax.compose import (
    clamp,
    complete,
    couple,
    dirac,
    gaussian,
    per_source,
    project,
    proportional,
    stack_texts,
    uniform,
)
from gmsdi_jax.diffusion import (
    churn,
    dpmpp_2m,
    euler,
    euler_ancestral,
    heun,
    karras,
    resample,
    sample,
)
from gmsdi_jax.types import Text

B, K, T = 2, 3, 5
VARIANCE = np.array([[0.04], [0.1], [0.01]]) * np.ones(T)
pytestmark = pytest.mark.usefixtures("x64")


@pytest.fixture
def texts(x64) -> Text:
    return stack_texts(
        words.text((0.2, 0.04), (-0.5, 0.3)), words.text((0.0, 0.1)), words.text((1.0, 0.02))
    )


@pytest.fixture
def mixture(x64, rng) -> jax.Array:
    return jnp.asarray(rng.standard_normal((B, T, 1)))


@pytest.mark.parametrize("step", [euler, heun], ids=["euler", "heun"])
def test_clamped_source_keeps_its_noise_at_every_level(step, rng, key):
    """A path from ``known + sigma eps`` is ``known + sigma eps`` all the way, and ends at known."""
    known, eps = jnp.asarray(rng.standard_normal((2, B, K, T, 1)))
    is_known = jnp.array([True, False, True])
    denoise = clamp(couple(prior(VARIANCE), "sum", 2.0), known, is_known)
    grid, keys = karras(20, 1e-3, 3.0), jax.random.split(key, B)

    @jax.jit
    def after(levels):
        return sample(keys, denoise, step, levels, known + levels[0] * eps)

    for n in (1, 7, 20):
        found = after(grid[: n + 1])
        expected = known + grid[n] * eps
        assert_allclose(found[:, is_known], expected[:, is_known], rtol=0, atol=1e-9)
    assert np.abs(found - known)[:, ~is_known].min() > 1e-3  # the free source went its own way


def test_clamped_source_keeps_its_noise_under_churn(rng, key):
    """Churn turns ``sigma eps`` into ``sigma eps + rise n``, which then shrinks in proportion."""
    known, eps, fresh = jnp.asarray(rng.standard_normal((3, B, K, T, 1)))
    denoise = clamp(prior(VARIANCE), known, jnp.array([True, False, True]))
    sigma, sigma_next, hat = jnp.asarray(0.5), jnp.asarray(0.3), 0.5 * 1.2
    with noise(lambda number, x: fresh):
        step = churn(euler, 20, 100)
        found = step(jax.random.split(key, B), denoise, known + sigma * eps, sigma, sigma_next)
    carried = (sigma * eps + math.sqrt(hat**2 - 0.5**2) * fresh) * sigma_next / hat
    assert_allclose(found[:, ::2], (known + carried)[:, ::2], rtol=0, atol=1e-9)


@pytest.mark.parametrize("step", [euler, heun, euler_ancestral, resample(churn(heun, 9, 9), 2)])
def test_clamped_source_comes_out_as_it_went_in(step, rng, key):
    """Whatever the noise on the way, the answer holds the known source itself."""
    known, start = jnp.asarray(rng.standard_normal((2, B, K, T, 1)))
    denoise = clamp(prior(VARIANCE), known, jnp.array([True, False, True]))
    run = jax.jit(lambda x: sample(jax.random.split(key, B), denoise, step, karras(9), x))
    assert_allclose(run(start)[:, ::2], known[:, ::2], rtol=0, atol=1e-9)


def masks(rng) -> dict[str, np.ndarray]:
    """Which samples of which sources are known: for all windows, or for each its own."""
    return {
        "k t": np.arange(T) < np.array([[3], [0], [5]]),
        "b k t c": rng.random((B, K, T, 1)) < 0.5,
        "b k 1 1": np.array([[True, False, False], [False, True, True]]).reshape(B, K, 1, 1),
    }


@pytest.mark.parametrize("name", ["k t", "b k t c", "b k 1 1"])
@pytest.mark.parametrize("step", [euler, heun, dpmpp_2m], ids=["euler", "heun", "dpmpp_2m"])
def test_clamp_by_time_keeps_known_samples_on_their_path(step, name, rng, key):
    """In-painting: what is known is ``known + sigma eps`` at every level, the rest goes its way."""
    known, eps = jnp.asarray(rng.standard_normal((2, B, K, T, 1)))
    mask = masks(rng)[name]
    here = np.broadcast_to(mask if mask.ndim == 4 else mask[None, ..., None], known.shape)
    joint = couple(prior(VARIANCE), "sum", 2.0)
    denoise = clamp(joint, jnp.where(here, known, jnp.nan), jnp.asarray(mask))  # nan: is not read
    grid, keys = karras(20, 1e-3, 3.0), jax.random.split(key, B)

    @jax.jit
    def after(levels):
        return sample(keys, denoise, step, levels, known + levels[0] * eps)

    for n in (1, 7, 20):
        found = np.asarray(after(grid[: n + 1]))
        assert_allclose(found[here], (known + grid[n] * eps)[here], rtol=0, atol=1e-9)
    assert np.isfinite(found).all()
    assert np.abs(found - known)[~here].min() > 1e-3


def test_completed_stems_sum_to_the_mixture(texts, mixture, rng, key):
    """`dirac` and `complete`: to rounding, whatever the denoiser says."""
    denoise = dirac(per_source(words.denoise, texts), mixture)
    free = jnp.asarray(rng.standard_normal((B, K - 1, T, 1)))
    keys = jax.random.split(key, B)
    stems = complete(sample(keys, denoise, euler_ancestral, karras(20), free), mixture)
    assert stems.shape == (B, K, T, 1)
    assert_allclose(stems.sum(1), mixture, rtol=0, atol=1e-12)


def test_only_source_is_the_mixture(mixture, key):
    """With one text nothing is free: the sampler has no state and the stem is the mixture."""
    denoise = dirac(per_source(words.denoise, stack_texts(words.text((0.0, 0.1)))), mixture)
    free = jnp.zeros((B, 0, T, 1))
    nothing = sample(jax.random.split(key, B), denoise, euler, karras(5), free)
    assert_array_equal(complete(nothing, mixture), mixture[:, None])


def test_free_sources_may_change_places(texts, mixture, rng):
    """Permuting the free sources and their texts permutes the answers; the last is special."""
    x, sigma = jnp.asarray(rng.standard_normal((B, K - 1, T, 1))), jnp.asarray(0.4)
    straight = dirac(per_source(words.denoise, texts), mixture)(x, sigma)
    order = jnp.array([1, 0, 2])
    turned = dirac(per_source(words.denoise, Text(*(leaf[order] for leaf in texts))), mixture)
    assert_allclose(turned(x[:, ::-1], sigma), straight[:, ::-1], rtol=1e-12, atol=1e-12)


def test_projected_answers_sum_to_the_mixture_at_every_level(texts, mixture, rng):
    """`project` makes each denoised estimate consistent, not only the last."""
    denoise = project(per_source(words.denoise, texts), mixture, uniform)
    x = jnp.asarray(rng.standard_normal((B, K, T, 1)))
    for sigma in (1e-3, 0.4, 20.0):
        assert_allclose(denoise(x, jnp.asarray(sigma)).sum(1), mixture, rtol=0, atol=1e-12)


def msdm(rng, d, y, levels, s_churn, resamples, likelihood):
    """MSDM's separation of one window ``[k t]`` (its separation.py), with the draws it made."""
    x, draws = levels[0] * rng.standard_normal((K, T)), []
    start = x.copy()
    count = len(levels) - 1

    def draw():
        draws.append(rng.standard_normal((K, T)))
        return draws[-1]

    for i in range(count):
        for r in range(resamples):
            gamma = min(s_churn / count, 2**0.5 - 1)
            hat = levels[i] * (1 + gamma)
            x = x + np.sqrt(hat**2 - levels[i] ** 2) * draw()
            if likelihood == "dirac":
                x[-1] = y - x[:-1].sum(0)
            slope = np.stack([(x[n] - d(n, x[n], hat)) / hat for n in range(K)])
            if likelihood == "dirac":
                slope = slope - slope[-1]
            else:
                slope = slope - hat / (2 * (0.75 * hat) ** 2) * (y - x.sum(0))
            x = x + (levels[i + 1] - hat) * slope
            if r < resamples - 1:
                x = x + np.sqrt(levels[i] ** 2 - levels[i + 1] ** 2) * draw()
    return start, draws, x


@pytest.mark.parametrize("likelihood", ["dirac", "gaussian"])
def test_separation_is_msdms_loop(likelihood, texts, rng, key):
    """Euler, churn 1.5 of 6 steps and 2 resamples, against a transcription with the same noise.

    MSDM also noises the constrained source, then overwrites it; and its Gaussian likelihood has
    ``2 gamma^2`` for the variance, so that its gamma is ``sqrt 2`` times smaller than ours.
    """
    y, levels = rng.standard_normal(T), np.asarray(karras(6, 1e-2, 1.0))

    def d(n, x, sigma):
        text = Text(*(leaf[n : n + 1] for leaf in texts))
        return np.asarray(words.denoise(jnp.asarray(x)[None, :, None], sigma, text))[0, :, 0]

    start, draws, expected = msdm(rng, d, y, levels, 1.5, 2, likelihood)
    joint, mixture = per_source(words.denoise, texts), jnp.asarray(y)[None, :, None]
    if likelihood == "dirac":
        denoise, free = dirac(joint, mixture), K - 1
    else:
        denoise, free = gaussian(joint, mixture, proportional(2**0.5 * 0.75)), K
    step = resample(churn(euler, 1.5, 6), 2)
    x, drawn = jnp.asarray(start[None, :free, :, None]), iter(draws)
    with noise(lambda number, x: jnp.asarray(next(drawn)[None, :free, :, None])):
        for sigma, sigma_next in itertools.pairwise(levels):
            x = step(key[None], denoise, x, jnp.asarray(sigma), jnp.asarray(sigma_next))
    assert next(drawn, None) is None
    assert_allclose(x[0, :, :, 0], expected[:free], rtol=1e-10, atol=1e-10)
