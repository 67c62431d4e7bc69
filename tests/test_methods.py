"""Separation methods: what they cost, what their stems sum to, and that windows stand alone."""

import jax
import jax.numpy as jnp
import pytest
from numpy.testing import assert_allclose

from gmsdi_jax.compose import stack_texts
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.methods import METHODS, Prompts, SeparationConfig, separate
from gmsdi_jax.types import Text

LENGTH = 512
QUICK = {"steps": 4, "sigma_min": 1e-2, "sigmas": (0.05, 0.1)}


def denoise(x, sigma, text):
    """Gaussian sources: a text's variance is the sum over its tokens that count."""
    weight = text.mask[..., None].astype(x.dtype)
    variance = (text.embedding * weight).sum((1, 2))[:, None, None]
    level = jnp.broadcast_to(sigma, x.shape[:1])[:, None, None] ** 2
    return variance / (variance + level) * x


def texts(*variances):
    """One text of a single token per variance, ``[k 1 1]``."""
    embedding = jnp.asarray(variances, jnp.float32)[:, None, None]
    return Text(embedding, jnp.ones(embedding.shape[:2], bool))


def prompts_of(*variances):
    total = sum(variances)
    rests = texts(*(total - variance for variance in variances))
    return Prompts(texts(*variances), rests, texts(total))


PROMPTS = prompts_of(0.02, 0.01, 0.03)


@pytest.fixture
def mixture(rng):
    return jnp.asarray(0.2 * rng.standard_normal((3, LENGTH, 1)), jnp.float32)


@pytest.fixture
def keys(key):
    return jax.random.split(key, 3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_evaluations_are_what_is_spent(method, guidance, keys, mixture):
    """The network's rows, counted, are `evaluations` per window; guidance doubles them."""
    config = SeparationConfig(method=method, guidance=guidance, resamples=2, **QUICK)
    rows = []

    def spy(x, sigma, text):
        rows.append(x.shape[0])
        return denoise(x, sigma, text)

    # Without jit the sampler's scan is a loop, and every call of the network is seen.
    with jax.disable_jit():
        separate(keys[:2], spy, PROMPTS, mixture[:2, :64], config)
    assert sum(rows) == 2 * config.evaluations(3)


def test_evaluations_by_hand():
    """Three stems: rows per window of the defaults' four kinds."""

    def count(method, **settings):
        return SeparationConfig(method=method, steps=10, **settings).evaluations(3)

    assert count("direct") == 3 * 3
    assert count("project") == 3 * 10 + 3 * 3
    assert count("project", weights="uniform") == 3 * 10
    assert count("dirac", resamples=2) == 3 * 10 * 2
    assert count("extract") == 2 * 3 * 10
    assert count("direct", guidance=3.0) == 2 * 3 * 3


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "direct"},
        {"method": "direct", "exponent": 1.0},
        {"method": "project"},
        {"method": "project", "weights": "local_power"},
        {"method": "project", "weights": "uniform"},
        {"method": "dirac"},
        {"method": "dirac", "filter": True},
        {"method": "extract", "filter": True},
    ],
    ids=lambda s: "-".join(map(str, s.values())),
)
def test_stems_sum_to_the_mixture(settings, keys, mixture):
    """Whatever the denoiser answers, nothing of the mixture is lost or added."""
    config = SeparationConfig(**settings, **QUICK)
    run = jax.jit(lambda keys, y: separate(keys, denoise, PROMPTS, y, config))
    stems = run(keys, mixture)
    assert stems.shape == (3, 3, LENGTH, 1)
    assert stems.dtype == jnp.float32
    assert_allclose(stems.sum(1), mixture, atol=1e-4)
    assert float(jnp.abs(stems).max(axis=(0, 2, 3)).min()) > 1e-2


def test_plain_extract_does_not_sum(keys, mixture):
    """Each stem of `extract` is a run of its own: only its filter makes them a partition."""
    config = SeparationConfig(method="extract", **QUICK)
    run = jax.jit(lambda keys, y: separate(keys, denoise, PROMPTS, y, config))
    assert float(jnp.abs(run(keys, mixture).sum(1) - mixture).max()) > 1e-2


def test_extract_is_dirac_on_each_pair(keys, mixture):
    """Stem k of `extract` is the free stem of `dirac` on (text k, rest k), with its own key."""
    prompts = prompts_of(0.02, 0.01)
    settings = {"s_churn": 2.0, "resamples": 2, **QUICK}
    extract = SeparationConfig(method="extract", **settings)
    dirac = SeparationConfig(method="dirac", **settings)
    answer = jax.jit(lambda keys, y: separate(keys, denoise, prompts, y, extract))(keys, mixture)
    own = jax.vmap(lambda key: jax.random.split(key, 2))(keys)
    for k in range(2):
        one = (Text(*(leaf[k] for leaf in part)) for part in prompts[:2])
        pair = Prompts(stack_texts(*one), prompts.rests, prompts.null)
        run = jax.jit(lambda keys, y, pair=pair: separate(keys, denoise, pair, y, dirac))
        assert_allclose(answer[:, k], run(own[:, k], mixture)[:, 0], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_windows_do_not_know_their_neighbours(method, keys, mixture):
    """A window alone gives what it gives in a batch."""
    config = SeparationConfig(method=method, guidance=1.5, **QUICK)
    run = jax.jit(lambda keys, y: separate(keys, denoise, PROMPTS, y, config))
    batch = run(keys, mixture)
    for i in (0, 2):
        assert_allclose(run(keys[i : i + 1], mixture[i : i + 1])[0], batch[i], atol=1e-5)
    if method != "direct":  # its noise is small and averaged
        again = run(keys[::-1], mixture)
        assert float(jnp.abs(again[0] - batch[0]).max()) > 1e-3


def test_guidance_points_away_from_the_null(keys, mixture):
    """With the null equal to every text guidance does nothing; with another null it does."""
    same = Prompts(texts(0.02, 0.02), texts(0.02, 0.02), texts(0.02))
    other = same._replace(null=texts(0.0))
    plain, guided = (SeparationConfig(method="project", guidance=w, **QUICK) for w in (1.0, 2.0))
    run = jax.jit(separate, static_argnums=(1, 4))
    answers = [
        run(keys, denoise, prompts, mixture, config)
        for prompts, config in ((same, plain), (same, guided), (other, guided))
    ]
    assert_allclose(answers[1], answers[0], atol=1e-5)
    assert float(jnp.abs(answers[2] - answers[0]).max()) > 1e-2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "magic"}, r"'magic' is unknown: use direct, project, dirac, extract"),
        ({"steps": 1}, "steps is 1"),
        ({"sigma_min": 0.0}, "sigma_min 0.0"),
        ({"sigma_min": 2.0}, "0 < sigma_min < sigma_max"),
        ({"resamples": 0}, "resamples is 0"),
        ({"s_churn": -1.0}, "s_churn -1.0"),
        ({"sigmas": ()}, r"sigmas \(\)"),
        ({"sigmas": (0.1, -0.1)}, "positive sigmas"),
        ({"weights": "magic"}, r"'magic' is unknown: use shares, local_power, corrected, uniform"),
        ({"exponent": 0.0}, "exponent is 0.0"),
    ],
)
def test_settings_that_cannot_run_are_refused(settings, message):
    """Bad values stop before anything is computed, named with what is allowed."""
    with pytest.raises(ConfigError, match=message):
        SeparationConfig(**settings)
