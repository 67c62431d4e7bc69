"""Separation methods: what they cost, what their stems sum to, and that windows stand alone."""

import jax
import jax.numpy as jnp
import pytest
from numpy.testing import assert_allclose

from gmsdi_jax.compose import stack_texts
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.methods import METHODS, Prompts, SeparationConfig, draw, separate
from gmsdi_jax.tasks import read_out
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


VARIANCES = (0.02, 0.01, 0.03)
PROMPTS = prompts_of(*VARIANCES)


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
    rows = rows_of_calls(keys, mixture, config)
    assert sum(rows) == 2 * config.evaluations(3)
    assert max(rows) == 2 * config.rows(3)


def rows_of_calls(keys, mixture, config, prompts=None) -> list[int]:
    """The network's rows, call by call, for two windows."""
    rows = []

    def spy(x, sigma, text):
        rows.append(x.shape[0])
        return denoise(x, sigma, text)

    # Without jit the sampler's scan is a loop, and every call of the network is seen.
    with jax.disable_jit():
        separate(keys[:2], spy, prompts or PROMPTS, mixture[:2, :64], config)
    return rows


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "dirac", "constrain": "each"},
        {"method": "dirac", "draws": 3},
        {"method": "project", "draws": 2, "warm": True, "weights": "uniform"},
        {"method": "project", "solver": "daps"},
        {"method": "project", "solver": "heun", "weights": "floored"},
        {"method": "dirac", "solver": "adpm2", "resamples": 2},
        {"method": "project", "solver": "dpmpp_2m", "resamples": 2},
        {"method": "extract", "guidance": 2.0, "guidance_interval": (0.1, 0.6)},
        {"method": "dirac", "guidance": 2.0, "guidance_interval": (0.1, 0.6), "solver": "heun"},
        {"method": "direct", "guidance": 2.0, "guidance_interval": (0.01, 0.07)},
    ],
    ids=lambda s: "-".join(map(str, s.values())),
)
def test_evaluations_of_every_option(settings, keys, mixture):
    """Draws, runs, solvers and the interval of guidance are all in `evaluations` and `rows`."""
    config = SeparationConfig(**settings, **QUICK)
    rows = rows_of_calls(keys, mixture, config)
    assert sum(rows) == 2 * config.evaluations(3)
    assert max(rows) == 2 * config.rows(3)


def test_covariance_counts_its_products():
    """Ten steps of one evaluation and three products (two steps, and the result), three stems."""
    config = SeparationConfig(method="project", weights="covariance", iterations=2, steps=10)
    assert config.evaluations(3) == 10 * 3 * (1 + 3)


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
        {"method": "gaussian", "filter": True},
        {"method": "dirac", "constrain": "each", "draws": 2},
        {"method": "dirac", "warm": True},
        {"method": "project", "weights": "covariance"},
        {"method": "project", "weights": "corrected", "solver": "daps"},
        {"method": "project", "weights": "floored", "draws": 2, "filter": True},
        {"method": "project", "solver": "dpmpp_2m", "warm": True},
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


def run_of(config, prompts=PROMPTS):
    """The compiled separation, of keys and mixture."""
    return jax.jit(lambda keys, y: separate(keys, denoise, prompts, y, config))


def test_each_constrained_is_the_mean_over_turns(keys, mixture):
    """Every source once at the end, with a key of its own, turned back, averaged."""
    settings = {"method": "dirac", "s_churn": 2.0, **QUICK}
    found = run_of(SeparationConfig(constrain="each", **settings))(keys, mixture)
    own = jax.vmap(lambda key: jax.random.split(key, 3))(keys)
    turns = []
    for i in range(3):
        order = [(j + i + 1) % 3 for j in range(3)]
        turned = prompts_of(*(VARIANCES[j] for j in order))
        stems = run_of(SeparationConfig(**settings), turned)(own[:, i], mixture)
        turns.append(stems[:, jnp.argsort(jnp.asarray(order))])
    assert_allclose(found, sum(turns) / 3, atol=1e-5)


def test_draws_are_independent_and_the_first_is_the_only_one(keys, mixture):
    """Draw 0 of many is the draw of one; the mean of all is what `separate` returns."""
    one, four = (SeparationConfig(method="project", draws=n, **QUICK) for n in (1, 4))
    draws = jax.jit(lambda k, y: draw(k, denoise, PROMPTS, y, four))(keys, mixture)
    assert draws.shape == (3, 4, 3, LENGTH, 1)
    assert_allclose(draws[:, 0], run_of(one)(keys, mixture), atol=1e-5)
    assert_allclose(draws.mean(1), run_of(four)(keys, mixture), atol=1e-5)
    apart = draws - draws.mean(1, keepdims=True)
    for i in range(4):
        for j in range(i):
            product = (apart[:, i] * apart[:, j]).mean() / (apart**2).mean()
            assert abs(float(product) + 1 / 3) < 0.15  # n independent draws less their mean


def test_warm_start_begins_at_the_read_out(keys, mixture):
    """Where hardly any noise is added to the read-out, the stems are still the read-out."""
    quick = {**QUICK, "sigma_max": 1e-3, "sigma_min": 1e-4, "s_churn": 0.0, "warm": True}
    reference = read_out(keys, denoise, PROMPTS.texts, mixture, QUICK["sigmas"])
    rest = mixture - reference.sum(1)
    even = SeparationConfig(method="project", weights="uniform", **quick)
    assert_allclose(run_of(even)(keys, mixture), reference + rest[:, None] / 3, atol=5e-3)
    dirac = run_of(SeparationConfig(method="dirac", **quick))(keys, mixture)
    assert_allclose(dirac[:, :-1], reference[:, :-1], atol=5e-3)
    assert float(jnp.abs(reference).max()) > 0.1


def test_other_takes_what_no_text_explains(keys, rng):
    """A tone that no text names goes to the residual; without `other` the stems must share it."""
    t = jnp.arange(LENGTH, dtype=jnp.float32)
    tone = 0.5 * jnp.sin(2 * jnp.pi * t / 16)[None, :, None]
    quiet = jnp.asarray(0.02 * rng.standard_normal((3, LENGTH, 1)), jnp.float32)
    prompts = prompts_of(1e-4, 1e-4, 2e-4)
    settings = {"method": "project", "fft": 64, "weights": "local_power", **QUICK}
    with_it = run_of(SeparationConfig(other=0.9, **settings), prompts)(keys, quiet + tone)
    without = run_of(SeparationConfig(**settings), prompts)(keys, quiet + tone)
    assert with_it.shape == without.shape
    assert_allclose(without.sum(1), quiet + tone, atol=1e-4)
    residual = quiet + tone - with_it.sum(1)
    assert float((with_it**2).sum()) < 0.3 * float((without**2).sum())
    assert float((residual * tone).sum() / (tone**2).sum() / 3) > 0.5


def test_negatives_are_one_per_stem(keys, mixture):
    """Equal negatives are one null; other ones lead each stem away from its own."""
    settings = {"guidance": 2.0, **QUICK}
    same = PROMPTS._replace(negatives=texts(*[float(PROMPTS.null.embedding[0, 0, 0])] * 3))
    other = PROMPTS._replace(negatives=texts(0.0, 0.02, 0.05))
    for method, constrain in (("project", "one"), ("dirac", "each"), ("extract", "one")):
        config = SeparationConfig(method=method, constrain=constrain, **settings)
        plain, alike, led = (
            run_of(config, prompts)(keys, mixture) for prompts in (PROMPTS, same, other)
        )
        assert_allclose(alike, plain, atol=1e-4)
        assert float(jnp.abs(led - plain).max()) > 1e-2


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
        ({"weights": "magic"}, r"'magic' is unknown: use shares, floored, local_power"),
        ({"exponent": 0.0}, "exponent is 0.0"),
        ({"draws": 0}, "draws is 0: take 1"),
        ({"gamma": -1.0}, "gamma is -1.0"),
        ({"solver": "magic"}, "'magic' is unknown: use own, churn"),
        ({"solver": "daps"}, "use method project"),
        ({"solver": "daps", "method": "project", "weights": "uniform"}, "each stem's variance"),
        ({"smoothing": (3, 2)}, "odd numbers"),
        ({"fft": 1023}, "that 4 divides"),
        ({"other": 1.0}, "other is 1.0"),
    ],
)
def test_settings_that_cannot_run_are_refused(settings, message):
    """Bad values stop before anything is computed, named with what is allowed."""
    with pytest.raises(ConfigError, match=message):
        SeparationConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "stems", "warns"),
    [
        ({"method": "dirac", "steps": 20}, 4, True),  # -13 dB on MiniSlakh
        ({"method": "dirac", "steps": 60}, 4, False),  # 7.4 dB
        ({"method": "dirac"}, 4, False),
        ({"method": "dirac", "solver": "ancestral", "steps": 10}, 4, True),
        ({"method": "extract", "steps": 20}, 4, False),
        ({"method": "extract", "steps": 5}, 4, True),
        ({"method": "project", "steps": 5}, 4, False),
        ({"method": "direct"}, 4, False),
    ],
)
def test_too_few_steps_come_with_a_warning(settings, stems, warns):
    """The settings that diverged get one line with the cure; those that worked get none."""
    warning = SeparationConfig(**settings).warning(stems)
    assert (warning is not None) == warns
    assert warning is None or "--steps" in warning


def test_steps_left_open_are_the_methods_own():
    """25 for `project`, the paper's 150 for its own methods."""
    assert SeparationConfig(method="project").own_steps == 25
    assert SeparationConfig(method="extract").own_steps == 150
    assert SeparationConfig(method="dirac", steps=7).own_steps == 7
