"""Churn and resampling: exact identities when off, the right amount of noise when on."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.diffusion import adpm2, churn, daps, euler, euler_ancestral, heun, resample
from gmsdi_jax.diffusion.steps import fold

CAP = math.sqrt(2) - 1


def stay(keys, denoise, x, sigma, sigma_next):
    """A step that changes nothing."""
    return x


def levels_seen(step, sigma: float, sigma_next: float = 0.1) -> list[float]:
    """The noise levels at which a step asks the denoiser."""
    seen = []

    def denoise(x, sigma):
        seen.append(float(sigma))
        return x

    keys = jax.random.split(jax.random.key(0), 1)
    step(keys, denoise, jnp.zeros((1, 4)), jnp.asarray(sigma), jnp.asarray(sigma_next))
    return seen


@pytest.mark.parametrize("step", [euler, heun, euler_ancestral, adpm2()])
def test_off_is_the_step_itself(step):
    """``churn(step, 0)`` and ``resample(step, 1)`` are the very same object."""
    assert churn(step, 0.0, 150) is step
    assert resample(step, 1) is step


def test_resample_refuses_zero_times():
    """A step is taken at least once."""
    with pytest.raises(ValueError, match="at least once"):
        resample(euler, 0)


@pytest.mark.parametrize(
    ("s_churn", "steps", "gamma"),
    [(20, 150, 20 / 150), (40, 150, 40 / 150), (40, 50, CAP), (1e6, 9, CAP)],
)
def test_churn_raises_the_level_by_gamma(s_churn, steps, gamma):
    """By the factor ``1 + s_churn / steps``, and never above sqrt 2."""
    assert_allclose(levels_seen(churn(euler, s_churn, steps), 0.5), [0.5 * (1 + gamma)], rtol=1e-6)


def test_churn_leaves_levels_outside_its_range_alone():
    """Between s_min and s_max, both included, the level rises; outside it stays."""
    step = churn(euler, 1e6, 1, s_min=0.25, s_max=0.5)
    up = math.sqrt(2)
    for sigma, factor in [(0.2, 1), (0.25, up), (0.4, up), (0.5, up), (0.6, 1)]:
        assert_allclose(levels_seen(step, sigma), [factor * sigma], rtol=1e-6)


def test_churn_outside_its_range_is_bitwise_the_step(rng, key):
    """The noise that is drawn there is multiplied by exactly 0."""
    x = jnp.asarray(rng.standard_normal((2, 8)), jnp.float32)
    keys, sigma, sigma_next = jax.random.split(key, 2), jnp.asarray(0.9), jnp.asarray(0.5)
    step = churn(euler, 20, 10, s_max=0.8)
    denoise = lambda x, sigma: x / (1 + sigma**2)  # noqa: E731
    assert_array_equal(
        step(keys, denoise, x, sigma, sigma_next), euler(keys, denoise, x, sigma, sigma_next)
    )


@pytest.mark.parametrize("s_noise", [1.0, 1.003])
def test_churn_adds_the_variance_of_the_rise(s_noise, key):
    """``s_noise^2 (sigma_hat^2 - sigma^2)``, drawn anew for every sample."""
    n, sigma, gamma = 100_000, 0.5, 0.2
    step = churn(stay, 20, 100, s_noise=s_noise)
    x = step(key[None], None, jnp.zeros((1, n)), jnp.asarray(sigma), jnp.asarray(0.4))
    rise = s_noise**2 * sigma**2 * ((1 + gamma) ** 2 - 1)
    assert_allclose(np.var(x), rise, rtol=5 * math.sqrt(2 / n))


@pytest.mark.parametrize("times", [2, 3, 5])
def test_resample_goes_back_to_sigma_with_fresh_noise_each_time(times, key):
    """``n - 1`` independent noises of variance ``sigma^2 - sigma_next^2``, none after the last."""
    n, sigma, sigma_next = 100_000, 0.5, 0.3
    step = resample(stay, times)
    x = step(key[None], None, jnp.zeros((1, n)), jnp.asarray(sigma), jnp.asarray(sigma_next))
    assert_allclose(np.var(x), (times - 1) * (sigma**2 - sigma_next**2), rtol=5 * math.sqrt(2 / n))
    assert levels_seen(resample(heun, times), 0.5, 0.3) == [0.5, np.float32(0.3)] * times


@pytest.mark.parametrize(
    "wrap",
    [
        lambda step: churn(step, 20, 100),
        lambda step: resample(step, 3),
        lambda step: resample(churn(step, 20, 100), 3),
    ],
    ids=["churn", "resample", "resample of churn"],
)
def test_wrapper_and_step_never_draw_the_same_noise(wrap, key):
    """What a wrapper adds is uncorrelated with what the step draws from its keys, every time."""
    n, noises = 50_000, []

    def record(keys, denoise, x, sigma, sigma_next):
        noises.extend([x[0], jax.random.normal(keys[0], (n,))])
        return jnp.zeros_like(x)

    start = jax.random.normal(jax.random.key(1), (1, n))
    wrap(record)(key[None], None, start, jnp.asarray(0.5), jnp.asarray(0.3))
    correlation = np.corrcoef(np.stack(noises))
    assert_allclose(correlation, np.eye(len(noises)), atol=5 / math.sqrt(n))


@pytest.mark.parametrize(
    "step",
    [
        euler_ancestral,
        adpm2(),
        churn(euler, 20, 50),
        resample(churn(heun, 20, 50), 2),
        daps(lambda noise, answer, sigma: sigma * noise),
    ],
    ids=["ancestral", "adpm2", "churn", "resample of churn", "daps"],
)
def test_window_does_not_hear_its_neighbours(step, rng, key):
    """A window's result is that of the window alone, bit by bit: its noise comes from its key."""
    x = jnp.asarray(rng.standard_normal((3, 16)), jnp.float32)
    keys, sigma, sigma_next = jax.random.split(key, 3), jnp.asarray(0.9), jnp.asarray(0.5)
    denoise = lambda x, sigma: x / (1 + sigma**2)  # noqa: E731
    together = step(keys, denoise, x, sigma, sigma_next)
    for i in range(3):
        alone = step(keys[i : i + 1], denoise, x[i : i + 1], sigma, sigma_next)
        assert_array_equal(together[i : i + 1], alone)
    assert not jnp.array_equal(
        step(keys[:1], denoise, x[:1], sigma, sigma_next),
        step(fold(keys[:1], 1), denoise, x[:1], sigma, sigma_next),
    )
