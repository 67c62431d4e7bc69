"""MSDM's models and loops, held to closed forms: Gaussian sources that depend on each other.

The sources of a sample are ``N(0, COVARIANCE)``, no product. Every loop is then affine in its
noise: `moments` has the exact mean and covariance of its answers, and bins are independent draws.
`tests/parity` holds the same loops to the published code.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles.gaussian import completed, moments, prior, white

from gmsdi_jax.baselines import msdm
from gmsdi_jax.compose import dirac, gaussian, proportional
from gmsdi_jax.diffusion import resample

COVARIANCE = np.array(
    [
        [0.05, 0.03, -0.01, 0.0],
        [0.03, 0.04, 0.01, 0.0],
        [-0.01, 0.01, 0.03, 0.01],
        [0.0, 0.0, 0.01, 0.02],
    ]
)
K, N, LEVEL = 4, 5_000, 0.3
MIXTURE = jnp.full((1, N, 1), LEVEL)
KNOWN = np.array([0.0, 0.3, 0.0, -0.2])
IS_KNOWN = np.array([False, True, False, True])


def channels(x, sigma):
    """The denoiser of dependent sources as a network has it, ``[b t k]``."""
    covariance = jnp.asarray(COVARIANCE, x.dtype)
    return x @ jnp.linalg.solve(covariance + sigma**2 * jnp.eye(K, dtype=x.dtype), covariance)


SOURCES = msdm.joint(channels)


def answers(function, seed: int = 0) -> np.ndarray:
    """What a compiled loop answers to one window, ``[k t]``."""
    found = jax.jit(function)(jax.random.key(seed)[None])
    assert found.shape == (1, K, N, 1)
    assert found.dtype == jnp.float32
    return np.asarray(found)[0, :, :, 0]


def exact(loop: msdm.Loop, rule, sources: int):
    """The moments of a loop's answers, the same in every bin."""
    start = white(sources, 1, loop.sigma_max**2)
    return moments(resample(loop.churned, loop.resamples), rule, loop.grid, start)


def drawn_from(stems: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> None:
    """The bins have these moments: five standard errors."""
    variance = np.diag(covariance)
    assert_array_less = np.testing.assert_array_less
    assert_array_less(abs(stems.mean(1) - mean), 5 * np.sqrt(variance / N))
    error = np.sqrt((np.outer(variance, variance) + covariance**2) / N)
    assert_array_less(abs(np.cov(stems) - covariance), 5 * error)


@pytest.mark.usefixtures("x64")
def test_joint_is_tweedies_formula_of_dependent_sources(rng):
    """``x + sigma^2 grad log p``, with the whole covariance."""
    x, sigma = jnp.asarray(rng.standard_normal((2, K, 5, 1))), jnp.asarray(0.3)

    def log_density(x):
        noisy = jnp.asarray(COVARIANCE) + sigma**2 * jnp.eye(K)
        return -0.5 * jnp.einsum("bktc,kl,bltc->", x, jnp.linalg.inv(noisy), x)

    expected = x + sigma**2 * jax.grad(log_density)(x)
    assert_allclose(SOURCES(x, sigma), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_weakly_is_joint_where_sources_are_independent(rng):
    """One denoiser per source, and one network whose channels do not mix: the same product."""
    variance = np.diag(COVARIANCE)
    x, sigma = jnp.asarray(rng.standard_normal((2, K, 5, 1))), jnp.asarray(0.3)
    expected = prior(jnp.asarray(variance)[:, None])(x, sigma)
    singles = [lambda x, sigma, v=v: v / (v + sigma**2) * x for v in variance]
    assert_allclose(msdm.weakly(singles)(x, sigma), expected, rtol=1e-12)
    shrink = jnp.asarray(variance)[None, None]
    one = msdm.joint(lambda x, sigma: shrink / (shrink + sigma**2) * x)
    assert_allclose(one(x, sigma), expected, rtol=1e-12)


def test_models_refuse_other_shapes():
    """Stereo has no place in the channels of a joint model; nor has a source without a model."""
    sigma = jnp.asarray(0.3)
    with pytest.raises(ValueError, match="squeeze"):
        SOURCES(jnp.zeros((1, K, 5, 2)), sigma)
    with pytest.raises(ValueError, match="zip"):
        msdm.weakly([lambda x, sigma: x] * 3)(jnp.zeros((1, K, 5, 1)), sigma)


def test_loops_hold_the_published_numbers():
    """Steps, levels, churn and resamples of MSDM's experiments and notebook."""
    table = {
        "JOINT_DIRAC": (150, 1.0, 20, 2),
        "WEAKLY_DIRAC": (150, 1.0, 40, 2),
        "GAUSSIAN": (150, 1.0, 40, 2),
        "GENERATION": (150, 20.0, 20, 1),
        "IMPUTATION": (256, 20.0, 10, 1),
    }
    for name, (steps, sigma_max, s_churn, resamples) in table.items():
        loop = getattr(msdm, name)
        assert (loop.steps, loop.sigma_max) == (steps, sigma_max), name
        assert (loop.s_churn, loop.resamples) == (s_churn, resamples), name
        assert (loop.sigma_min, loop.rho) == (1e-4, 7), name
        assert len(loop.grid) == steps + 1, name
        assert loop.grid[-1] == 0, name


def test_generated_sources_depend_on_each_other():
    """The covariance of the joint model, a tenth too small: churned Euler steps are too long."""
    found = answers(lambda keys: msdm.generate(keys, SOURCES, (K, N, 1)))
    expected = exact(msdm.GENERATION, lambda y: SOURCES, K).covariance[..., 0]
    drawn_from(found, np.zeros(K), expected)
    assert_allclose(expected, 0.904 * COVARIANCE, atol=0.002 * COVARIANCE.max())


@pytest.mark.parametrize("constrained", [0, 2])
def test_dirac_separation_has_its_moments_and_sums_to_the_mixture(constrained):
    """Mean and covariance near those of the sources given their sum, whichever is constrained."""
    loop = msdm.JOINT_DIRAC
    found = answers(lambda keys: msdm.separate_dirac(keys, SOURCES, MIXTURE, loop, constrained))
    assert_allclose(found.sum(0), LEVEL, rtol=0, atol=3e-7)
    free = exact(loop, lambda y: dirac(SOURCES, y, constrained), K - 1)
    expected = completed(free, constrained)
    drawn_from(found, LEVEL * expected.gain[:, 0], expected.covariance[..., 0])
    near_the_posterior(expected)


def test_gaussian_separation_has_its_moments():
    """At level 0 the observation's error is 0: these sources, too, sum to the mixture by then."""
    found = answers(lambda keys: msdm.separate_gaussian(keys, SOURCES, MIXTURE))
    expected = exact(
        msdm.GAUSSIAN, lambda y: gaussian(SOURCES, y, proportional(0.75), factor=0.5), K
    )
    drawn_from(found, LEVEL * expected.gain[:, 0], expected.covariance[..., 0])
    near_the_posterior(expected)
    assert_allclose(expected.gain.sum(), 1, atol=1e-5)
    assert expected.covariance.sum() < 1e-5


def near_the_posterior(found) -> None:
    """Both likelihoods are biased, by up to 0.02 of the mixture and a tenth of the variance."""
    own, total = COVARIANCE.sum(1), COVARIANCE.sum()
    assert_allclose(found.gain[:, 0], own / total, atol=0.02)
    posterior = COVARIANCE - np.outer(own, own) / total
    assert_allclose(found.covariance[..., 0], posterior, atol=0.1 * COVARIANCE.max())


@functools.cache
def impute(resamples: int, elsewhere: float = 0.0) -> np.ndarray:
    """MSDM's imputation, with `elsewhere` in place of the sources that are not known."""
    held = np.where(IS_KNOWN, KNOWN, elsewhere).astype(np.float32)
    known = jnp.broadcast_to(jnp.asarray(held)[None, :, None, None], (1, K, N, 1))
    loop = msdm.Loop(steps=256, sigma_max=20.0, s_churn=10.0, resamples=resamples)
    return answers(lambda keys: msdm.impute(keys, SOURCES, known, jnp.asarray(IS_KNOWN), loop))


def test_imputation_keeps_what_is_known_and_reads_nothing_else():
    """The known sources come back bit by bit; the others may hold NaN."""
    found = impute(1, elsewhere=np.nan)
    known = np.broadcast_to(KNOWN[:, None].astype(np.float32), (K, N))
    assert_array_equal(found[IS_KNOWN], known[IS_KNOWN])
    assert_array_equal(found, impute(1))


def test_imputation_finds_half_of_what_the_known_sources_tell_and_resampling_the_rest():
    """Given the known sources, the others are ``N(C_fk C_kk^-1 known, ...)``; replacement is late.

    While the noise is loud the free sources are drawn without knowing of the known ones. One
    resample leaves half of the conditional mean undone, four repeats most of it done.
    """
    free = ~IS_KNOWN
    across = COVARIANCE[np.ix_(free, IS_KNOWN)]
    within = COVARIANCE[np.ix_(IS_KNOWN, IS_KNOWN)]
    expected = across @ np.linalg.solve(within, KNOWN[IS_KNOWN])
    once, often = (np.linalg.norm(impute(n)[free].mean(1) - expected) for n in (1, 5))
    length = np.linalg.norm(expected)
    assert 0.4 * length < once < 0.6 * length
    assert often < 0.25 * length
