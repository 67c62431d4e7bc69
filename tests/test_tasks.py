"""The paper's tasks put the algebra together; the read-out asks the mixture directly."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import words
from oracles.gaussian import noise

from gmsdi_jax import tasks
from gmsdi_jax.compose import couple, per_source, stack_texts, uniform, wiener
from gmsdi_jax.diffusion import (
    churn,
    euler,
    euler_ancestral,
    initial_noise,
    karras,
    resample,
    sample,
)
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.types import Text

B, K, T = 2, 3, 600
SIGMA = jnp.float32(0.4)
VARIANCES = (0.04, 0.1, 0.01)


@pytest.fixture
def texts() -> Text:
    """Gaussian sources, so that the denoiser is linear: ``v / (v + sigma^2) x``."""
    return stack_texts(*(words.text((0.0, v)) for v in VARIANCES))


@pytest.fixture
def mixture(rng) -> jax.Array:
    return jnp.asarray(0.4 * rng.standard_normal((B, T, 1)), jnp.float32)


@pytest.fixture
def x(rng) -> jax.Array:
    return jnp.asarray(rng.standard_normal((B, K, T, 1)), jnp.float32)


@pytest.fixture
def keys(key) -> jax.Array:
    return jax.random.split(key, B)


def one(texts: Text, k: int) -> Text:
    return Text(*(leaf[k] for leaf in texts))


def test_separator_is_equation_13(texts, mixture, x):
    """Scores: ``S(x_k, z_k) - S(y - sum x, z_K)``, in the first k - 1 sources."""
    free = x[:, :-1]
    last = mixture - free.sum(1)
    found = tasks.separator(words.denoise, texts, mixture)(free, SIGMA)
    sources = [*free.swapaxes(0, 1), last]
    scores = [-source / (v + SIGMA**2) for source, v in zip(sources, VARIANCES, strict=True)]
    expected = jnp.stack([s - scores[-1] for s in scores[:-1]], 1)
    assert_allclose((found - free) / SIGMA**2, expected, rtol=1e-3, atol=1e-4)


def test_extractor_is_the_separator_of_two(texts, mixture, x):
    """One stem and the text of the rest: the same denoiser as the Separator's for that pair."""
    pair = Text(*(leaf[:2] for leaf in texts))
    by_pair = tasks.separator(words.denoise, pair, mixture)
    extract = tasks.extractor(words.denoise, one(texts, 0), one(texts, 1), mixture)
    assert_array_equal(extract(x[:, :1], SIGMA), by_pair(x[:, :1], SIGMA))


def test_projector_sums_to_the_mixture(texts, mixture, x):
    """At any level the projected estimates are consistent."""
    found = tasks.projector(words.denoise, texts, mixture, uniform)(x, SIGMA)
    assert_allclose(found.sum(1), mixture, atol=1e-5)
    free = per_source(words.denoise, texts)(x, SIGMA)
    assert_allclose(found - free, jnp.broadcast_to((found - free)[:, :1], x.shape), atol=1e-6)


@pytest.mark.parametrize("form", ["difference", "sum"])
def test_generation_is_coupled_sources(form, texts, x):
    """Equations (10) and (11): the independent sources and the coupling, nothing else."""
    found = tasks.generate(words.denoise, texts, form, 0.7)(x, SIGMA)
    expected = couple(per_source(words.denoise, texts), form, 0.7)(x, SIGMA)
    assert_array_equal(found, expected)


def test_one_stem_alone_is_not_coupled(texts, x):
    """Its rest is silence, which ``difference`` would pull it to: it is drawn from its prior."""
    alone = Text(*(leaf[:1] for leaf in texts))
    found = tasks.generate(words.denoise, alone, "difference", 0.7)(x[:, :1], SIGMA)
    assert_array_equal(found, per_source(words.denoise, alone)(x[:, :1], SIGMA))


def test_generation_with_the_mixtures_own_score(texts, x):
    """Form ``mixture``: two network calls, one of them on the sum by the text of all."""
    spy, v = words.Spy(), sum(VARIANCES)
    denoise = tasks.generate(spy, texts, "mixture", text_mixture=words.text((0.0, v)))
    total = x.sum(1, keepdims=True)
    free = per_source(words.denoise, texts)(x, SIGMA)
    pull = jnp.broadcast_to(-(SIGMA**2) / (v + SIGMA**2) * total, x.shape)
    assert_allclose(denoise(x, SIGMA), free + pull, rtol=1e-4, atol=1e-5)
    assert sorted(spy.rows) == [B, B * K]
    with pytest.raises(ConfigError, match="denoiser of the mixture"):
        tasks.generate(words.denoise, texts, "mixture")


def test_accompaniment_is_generation_with_known_stems(texts, x):
    """Equation (12): the known return themselves, the others are coupled to them."""
    known, is_known = jnp.ones_like(x), jnp.array([False, True, False])
    found = tasks.accompany(words.denoise, texts, known, is_known, "sum", 0.7)(x, SIGMA)
    coupled = tasks.generate(words.denoise, texts, "sum", 0.7)(x, SIGMA)
    assert_array_equal(found[:, 1], known[:, 1])
    assert_array_equal(found[:, ::2], coupled[:, ::2])


def test_read_out_is_the_mean_of_the_denoised_mixture(texts, mixture, keys, rng, monkeypatch):
    """``mean_sigma v_k / (v_k + sigma^2) (y + sigma eps)``, all sources hearing the same noise."""
    sigmas = (0.02, 0.1, 0.5)
    drawn = jnp.asarray(rng.standard_normal((3, *mixture.shape)), jnp.float32)
    tape = iter(drawn)
    monkeypatch.setattr(tasks, "window_noise", lambda keys, x: next(tape))
    found = tasks.read_out(keys, words.denoise, texts, mixture, sigmas)
    for k, v in enumerate(VARIANCES):
        terms = [v / (v + s**2) * (mixture + s * e) for s, e in zip(sigmas, drawn, strict=True)]
        assert_allclose(found[:, k], sum(terms) / 3, rtol=1e-4, atol=1e-5)


def test_read_out_draws_no_noise_that_a_sampler_draws(texts, key):
    """With the same keys: `project` may take its shares from a read-out of the same window."""
    n, heard = 20_000, []

    def listen(x, sigma, text):
        heard.append(x[0, :, 0] / sigma)  # of a silent mixture: the noise alone
        return x

    keys, text = key[None], Text(*(leaf[:1] for leaf in texts))
    tasks.read_out(keys, listen, text, jnp.zeros((1, n, 1)), (0.1, 0.2, 0.3))
    kept = [initial_noise(keys, jnp.float32(1), (1, n, 1))[0, 0, :, 0]]
    grid = jnp.array([1.0, 0.9, 0.8, 0.7])

    def record(keys, denoise, x, sigma, sigma_next):
        at = jnp.round(10 * (1 - sigma)).astype(int)
        fresh = euler_ancestral(keys, lambda x, sigma: 0 * x, 0 * x[:, :1], sigma, sigma_next)
        return x.at[:, at].set(fresh[:, 0])

    kept.extend(sample(keys, lambda x, sigma: x, record, grid, jnp.zeros((1, 3, n, 1)))[0, :, :, 0])
    correlation = np.corrcoef(np.stack([*heard, *kept]))
    assert_allclose(correlation, np.eye(7), atol=5 / np.sqrt(n))


def test_direct_is_the_filtered_read_out_and_sums_to_the_mixture(texts, mixture, keys):
    """The Wiener filter of the read-out's power shares; float32 stays float32."""

    @jax.jit
    def both(keys, mixture):
        raw = tasks.read_out(keys, words.denoise, texts, mixture)
        return tasks.direct(keys, words.denoise, texts, mixture), raw, wiener(raw, mixture)

    found, raw, filtered = both(keys, mixture)
    assert found.dtype == jnp.float32
    assert_allclose(found.sum(1), mixture, atol=1e-5)
    assert_allclose(found, filtered, atol=1e-6)
    assert jnp.abs(raw.sum(1) - mixture).max() > 0.01


def test_direct_compiles_maps_and_differentiates(texts, mixture, keys):
    """vmap over songs is a loop over songs; the gradient in the mixture is finite."""
    run = jax.jit(lambda keys, y: tasks.direct(keys, words.denoise, texts, y))
    stems = run(keys, mixture)
    songs = jax.jit(jax.vmap(run))(jnp.stack([keys, keys[::-1]]), jnp.stack([mixture] * 2))
    assert_allclose(songs[0], stems, atol=1e-5)
    assert jnp.abs(songs[1] - stems).max() > 1e-5  # other keys, other noise
    gradient = jax.grad(lambda y: (run(keys, y) ** 2).sum())(mixture)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


@pytest.mark.parametrize("method", ["direct", "dirac"])
def test_window_does_not_depend_on_its_batch(method, texts, mixture, keys):
    """The stems of a window are the same alone and beside others."""
    step = resample(churn(euler, 2, 5), 2)

    @jax.jit
    def stems(keys, mixture):
        if method == "direct":
            return tasks.direct(keys, words.denoise, texts, mixture)
        denoise, grid = tasks.separator(words.denoise, texts, mixture), karras(5, 1e-2)
        start = initial_noise(keys, grid[0], (K - 1, T, 1))
        return sample(keys, denoise, step, grid, start)

    together = stems(keys, mixture)
    for i in range(B):
        alone = stems(keys[i : i + 1], mixture[i : i + 1])
        assert_allclose(together[i : i + 1], alone, rtol=1e-5, atol=1e-6)


def test_sampler_asks_the_network_once_per_evaluation(texts, mixture, keys):
    """All windows and sources in one call: ``b k`` rows for each step and resample."""
    spy, calls = words.Spy(), 0
    denoise, grid = tasks.separator(spy, texts, mixture), karras(4, 1e-2)
    x = initial_noise(keys, grid[0], (K - 1, T, 1))
    with noise(lambda number, x: 0 * x):
        for sigma, sigma_next in itertools.pairwise(grid):
            x = resample(euler, 2)(keys, denoise, x, sigma, sigma_next)
            calls += 2
    assert spy.rows == [B * K] * calls
