"""The theorem: every composed denoiser is ``x + sigma^2 grad log p(x)`` of the composed density.

The densities are written out here and differentiated by `jax.grad`; the priors are bimodal
(`oracles.words`), except where a rule is exact for Gaussian sources only. Float64, to 1e-10.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles import words

from gmsdi_jax.compose import (
    clamp,
    couple,
    dirac,
    gaussian,
    guide,
    per_source,
    project,
    proportional,
    stack_texts,
    uniform,
    with_other,
)
from gmsdi_jax.types import Denoiser, Text

pytestmark = pytest.mark.usefixtures("x64")

B, K, T = 2, 3, 5
LEVELS = [0.05, 0.4, 2.0]


def some_texts() -> Text:
    """Three sources, told by one, two and three tokens."""
    return stack_texts(
        words.text((0.2, 0.04), (-0.5, 0.3)),
        words.text((0.0, 0.1)),
        words.text((1.0, 0.02), (-1.0, 0.05), (0.0, 0.5)),
    )


def of_sources(x, sigma, texts=None):
    """``sum_k log p_sigma(x_k | text_k)`` of one window ``[k t c]``."""
    texts = some_texts() if texts is None else texts
    return jax.vmap(words.log_density, (0, None, 0))(x, sigma, texts).sum()


def assert_tweedie(denoise: Denoiser, log_p, x):
    """`log_p` is the log-density of one window at noise level sigma; `denoise` serves a batch."""

    @jax.jit
    def both(sigma):
        score = jax.vmap(jax.grad(log_p), (0, None))(x, sigma)
        return denoise(x, sigma), x + sigma**2 * score

    for sigma in LEVELS:
        assert_allclose(*both(jnp.asarray(sigma)), rtol=1e-10, atol=1e-10)


@pytest.fixture
def x(x64, rng) -> jax.Array:
    return jnp.asarray(rng.standard_normal((B, K, T, 1)))


@pytest.fixture
def mixture(x64, rng) -> jax.Array:
    return jnp.asarray(rng.standard_normal((T, 1)))


def test_words(x):
    """The oracle itself: its closed-form denoiser belongs to its density."""
    text = words.text((0.2, 0.04), (-0.5, 0.3), masked=2)
    rows = Text(*(jnp.stack([leaf] * B) for leaf in text))
    assert_tweedie(
        lambda x, sigma: words.denoise(x, sigma, rows),
        lambda x, sigma: words.log_density(x, sigma, text),
        x[:, 0],
    )


def test_per_source(x):
    """Independent sources: the product of their densities given their texts."""
    assert_tweedie(per_source(words.denoise, some_texts()), of_sources, x)


@pytest.mark.parametrize("scale", [-0.5, 0.0, 1.0, 3.0])
def test_guide(scale, x):
    """Guidance: ``p(x | null)^(1-w) p(x | text)^w``, level by level."""
    null = words.text((0.0, 1.0))
    guided = guide(words.denoise, scale, Text(*(leaf[None] for leaf in null)))

    def log_p(x, sigma):
        against = jax.vmap(words.log_density, (0, None, None))(x, sigma, null).sum()
        return (1 - scale) * against + scale * of_sources(x, sigma)

    assert_tweedie(per_source(guided, some_texts()), log_p, x)


@pytest.mark.parametrize("gamma", [0.7, proportional(1.5)], ids=["constant", "proportional"])
def test_couple_difference(gamma, x):
    """The paper's text: ``exp((|sum x|^2 - 2 sum |x_k|^2) / 2 gamma^2)``."""

    def log_p(x, sigma):
        width = 1.5 * sigma if callable(gamma) else gamma
        tie = (x.sum(0) ** 2).sum() - 2 * (x**2).sum()
        return of_sources(x, sigma) + tie / (2 * width**2)

    joint = per_source(words.denoise, some_texts())
    assert_tweedie(couple(joint, "difference", gamma), log_p, x)


def test_couple_difference_of_two_is_a_gaussian_of_their_difference(x):
    """For two sources the coupling is ``exp(-|x_1 - x_2|^2 / 2 gamma^2)``."""
    texts = Text(*(leaf[:2] for leaf in some_texts()))

    def log_p(x, sigma):
        return of_sources(x, sigma, texts) - ((x[0] - x[1]) ** 2).sum() / (2 * 0.7**2)

    assert_tweedie(couple(per_source(words.denoise, texts), gamma=0.7), log_p, x[:, :2])


def test_couple_sum(x):
    """The second reading: ``exp(-|sum x|^2 / 2 gamma^2)``."""

    def log_p(x, sigma):
        return of_sources(x, sigma) - (x.sum(0) ** 2).sum() / (2 * 0.7**2)

    joint = per_source(words.denoise, some_texts())
    assert_tweedie(couple(joint, "sum", 0.7), log_p, x)


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_couple_mixture(weight, x):
    """The third reading: ``p_sigma(sum x | text of the mixture)^w``."""
    together = words.text((0.3, 0.6), (-0.8, 0.2))
    rows = Text(*(jnp.stack([leaf] * B) for leaf in together))

    def log_p(x, sigma):
        return of_sources(x, sigma) + weight * words.log_density(x.sum(0), sigma, together)

    denoise = couple(
        per_source(words.denoise, some_texts()),
        "mixture",
        mixture=lambda x, sigma: words.denoise(x, sigma, rows),
        weight=weight,
    )
    assert_tweedie(denoise, log_p, x)


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_gaussian(factor, x, mixture):
    """The mixture observed with error: ``N(y; sum x, gamma(sigma)^2)``, or half its log (MSDM)."""

    def log_p(x, sigma):
        error = mixture - x.sum(0)
        return of_sources(x, sigma) - factor * (error**2).sum() / (2 * (0.75 * sigma) ** 2)

    joint = per_source(words.denoise, some_texts())
    observed = gaussian(joint, jnp.stack([mixture] * B), proportional(0.75), factor)
    assert_tweedie(observed, log_p, x)


@pytest.mark.parametrize("constrained", [0, 1, 2, -1])
def test_dirac(constrained, x, mixture):
    """The free sources' density, with ``y - sum x`` in the place of the constrained source."""
    at = constrained % K

    def log_p(free, sigma):
        rest = mixture - free.sum(0)
        return of_sources(jnp.concatenate([free[:at], rest[None], free[at:]]), sigma)

    joint = per_source(words.denoise, some_texts())
    denoise = dirac(joint, jnp.stack([mixture] * B), constrained)
    assert_tweedie(denoise, log_p, x[:, :-1])


def test_couple_projected_where_all_sources_are_alike(x):
    """Alike Gaussian sources and any Gaussian mixture: weights 1/K, and the sum's own density.

    The sum of the noisy sources is a noisy mixture at level ``sqrt(K) sigma``. In every direction
    but the sum the sources keep their own density, hence
    ``log p = sum_k log p_sigma(x_k) + log q(sum x) - log q_0(sum x)`` with q the mixture's and q_0
    the independent sum's density at that level.
    """
    v, m = 0.3, 0.5

    def log_p(x, sigma):
        total = x.sum(0)
        level = K * sigma**2
        ratio = (total**2).sum() * (1 / (m + level) - 1 / (K * v + level))
        return -((x**2).sum() / (v + sigma**2) + ratio) / 2

    denoise = couple(
        lambda x, sigma: v / (v + sigma**2) * x,
        "projected",
        mixture=lambda x, sigma: m / (m + sigma**2) * x,
        allocate=uniform,
    )
    assert_tweedie(denoise, log_p, x)


def test_group(x):
    """A partition (eq. 11): a source may be several instruments, told by one text of them all."""
    texts = stack_texts(
        words.text((0.2, 0.04), (-0.5, 0.3), (1.0, 0.02)), words.text((0.0, 0.1), (-1.0, 0.2))
    )

    def log_p(x, sigma):
        tie = -((x[0] - x[1]) ** 2).sum() / (2 * 0.7**2)
        return of_sources(x, sigma, texts) + tie

    joint = couple(per_source(words.denoise, texts), "difference", 0.7)
    assert_tweedie(joint, log_p, x[:, :2])


def test_with_other(x):
    """One more independent source, with a density of its own."""
    named = Text(*(leaf[:2] for leaf in some_texts()))

    def log_p(x, sigma):
        other = -(x[2] ** 2).sum() / (2 * (0.2 + sigma**2))
        return of_sources(x[:2], sigma, named) + other

    joint = with_other(per_source(words.denoise, named), lambda x, s: 0.2 / (0.2 + s**2) * x)
    assert_tweedie(joint, log_p, x)


def test_clamp(x, rng):
    """Known sources are ``N(known, sigma^2)``; the free ones keep the coupled density."""
    known = jnp.asarray(rng.standard_normal((K, T, 1)))
    is_known = jnp.array([False, True, False])
    at = is_known[:, None, None]

    def log_p(x, sigma):
        given = jnp.where(at, jax.lax.stop_gradient(x), x)  # the density of the free, given them
        coupled = of_sources(given, sigma) - (given.sum(0) ** 2).sum() / (2 * 0.7**2)
        error = jnp.where(at, x - known, 0)
        return coupled - (error**2).sum() / (2 * sigma**2)

    joint = couple(per_source(words.denoise, some_texts()), "sum", 0.7)
    assert_tweedie(clamp(joint, jnp.stack([known] * B), is_known), log_p, x)


def test_project_with_the_posterior_covariance_is_exact(x, mixture, rng):
    """Gaussian sources of any covariance: the exact ``p_sigma(x | y)``, which `dirac` is not.

    Given y the clean sources are ``N(m, V)`` with ``m_k = S_k S^-1 y`` and
    ``V_kl = S_k [k=l] - S_k S^-1 S_l``; white noise of level sigma makes it ``V + sigma^2``.
    """
    roots = rng.standard_normal((K, T, T)) / 2
    s = roots @ roots.swapaxes(1, 2) + 0.01 * np.eye(T)
    gain = s @ np.linalg.inv(s.sum(0))
    clean = np.einsum("kij,kl->kilj", s, np.eye(K)) - np.einsum("kij,ljm->kilm", gain, s)
    mean = jnp.asarray(np.einsum("kij,jc->kic", gain, mixture))

    def log_p(x, sigma):
        covariance = jnp.asarray(clean.reshape(K * T, K * T)) + sigma**2 * jnp.eye(K * T)
        offset = (x - mean).reshape(-1)
        return -offset @ jnp.linalg.solve(covariance, offset) / 2

    s, eye = jnp.asarray(s), jnp.eye(T)[None]

    def gaussian_sources(x, sigma):
        return jnp.einsum("kij,bkjc->bkic", s @ jnp.linalg.inv(s + sigma**2 * eye), x)

    def by_covariance(answer, residual, sigma):
        c = sigma**2 * s @ jnp.linalg.inv(s + sigma**2 * eye)  # sigma^2 dD_k/dx
        return jnp.einsum("kij,jl,blc->bkic", c, jnp.linalg.inv(c.sum(0)), residual)

    assert_tweedie(project(gaussian_sources, jnp.stack([mixture] * B), by_covariance), log_p, x)
