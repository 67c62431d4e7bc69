"""Solver steps on Gaussian data, where the probability-flow ODE has a closed form.

Data ``N(mu, v)`` makes the ODE linear: the state at level sigma maps to the state at level s by
``mu + sqrt((v + s^2) / (v + sigma^2)) (x - mu)``.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import words
from oracles.gaussian import moments, noise, prior, white

from gmsdi_jax.diffusion import (
    adpm2,
    churn,
    daps,
    dpmpp_2m,
    euler,
    euler_ancestral,
    heun,
    initial_noise,
    karras,
    resample,
    sample,
)
from gmsdi_jax.types import MultiStep, Text

VARIANCE = np.array([[0.04, 0.3, 1.0, 1e-4]])
MEAN = np.array([[0.5, -1.0, 0.0, 0.1]])


def silence(number, x):
    """No noise at all."""
    return jnp.zeros_like(x)


def flow(x, sigma, sigma_next):
    """The exact probability-flow map of ``N(MEAN, VARIANCE)``."""
    ratio = (VARIANCE + sigma_next**2) / (VARIANCE + sigma**2)
    mean = MEAN[None, ..., None]
    return mean + np.sqrt(ratio)[None, ..., None] * (x - mean)


def error(step, grid, key) -> float:
    """The largest distance of the sampler's answer to the exact map, from one start."""
    x = jnp.asarray([[[1.5], [0.5], [-1.0], [0.7]]])[None]
    run = jax.jit(lambda x: sample(key[None], prior(VARIANCE, MEAN), step, grid, x))
    found = run(x)
    return float(jnp.abs(found - flow(x, grid[0], grid[-1])).max())


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("step", [euler, heun, dpmpp_2m], ids=["euler", "heun", "dpmpp_2m"])
def test_ode_ends_on_the_exact_map(step, key):
    """A long grid down to 0 carries every start to its exact image."""
    assert error(step, karras(2000, 1e-5, 1.0), key) < 3e-3


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("step", "ratio"),
    [(euler_ancestral, 4), (adpm2(rho=7.0), 8), (adpm2(), 16)],
    ids=["ancestral", "adpm2 rho 7", "adpm2"],
)
def test_ancestral_steps_follow_the_ode_to_sigma_down(step, ratio, key):
    """Noise apart, halving the interval divides one step's error by 4 (Euler) or 8 (midpoint).

    The arithmetic midpoint gains another order, 16, on Gaussian data.
    """
    x = jnp.asarray([[[1.5], [0.5], [-1.0], [0.7]]])[None]
    errors = []
    for drop in (0.02, 0.01, 0.005):
        sigma, sigma_next = jnp.asarray(0.5), jnp.asarray(0.5 - drop)
        with noise(silence):
            found = step(key[None], prior(VARIANCE, MEAN), x, sigma, sigma_next)
        errors.append(float(jnp.abs(found - flow(x, sigma, sigma_next**2 / sigma)).max()))
    assert_allclose(errors[0] / errors[1], ratio, rtol=0.1)
    assert_allclose(errors[1] / errors[2], ratio, rtol=0.1)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("step", [euler, heun, euler_ancestral, adpm2(math.inf), dpmpp_2m])
def test_last_step_to_zero_is_the_denoised_audio(step, key, rng):
    """At sigma_next = 0 these steps return ``D(x, sigma)`` and add no noise."""
    x = jnp.asarray(rng.standard_normal((1, 1, 4, 1)))
    denoise, sigma = prior(VARIANCE, MEAN), jnp.asarray(0.3)
    found = sample(key[None], denoise, step, jnp.asarray([0.3, 0.0]), x)
    assert_allclose(found, denoise(x, sigma), rtol=1e-12)


def in_proportion(noise, answer, sigma):
    """Deviations of standard deviation sigma, for `daps`."""
    return sigma * noise


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("sigma_next", [0.2, 0.0])
def test_daps_draws_clean_audio_and_noises_it_anew(sigma_next, key, rng):
    """``D + sigma n1 + sigma_next n2``: the last step, to 0, returns a draw and not the mean."""
    x, first, second = jnp.asarray(rng.standard_normal((3, 1, 1, 4, 1)))
    denoise, sigma = prior(VARIANCE, MEAN), jnp.asarray(0.3)
    with noise(lambda number, x: (first, second)[number]):
        found = daps(in_proportion)(key[None], denoise, x, sigma, jnp.asarray(sigma_next))
    expected = denoise(x, sigma) + 0.3 * first + sigma_next * second
    assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "step",
    [euler, heun, euler_ancestral, adpm2(), adpm2(math.inf), churn(heun, 3, 5), dpmpp_2m,
     daps(in_proportion)],
)  # fmt: skip
def test_samples_and_their_gradients_are_finite_down_to_zero(step, key, rng):
    """No 0/0 at the end, neither in the value nor in the gradient; float32 stays float32."""
    x = jnp.asarray(rng.standard_normal((1, 1, 4, 1)), jnp.float32)
    denoise = prior(VARIANCE.astype(np.float32), MEAN.astype(np.float32))

    grid = karras(5, 1e-3, 1.0)

    @jax.jit
    def run(x):
        value, pull = jax.vjp(lambda x: sample(key[None], denoise, step, grid, x), x)
        return value, pull(value)[0]

    value, gradient = run(x)
    assert value.dtype == jnp.float32
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()
    assert (np.asarray(gradient) != 0).all()


def test_midpoint_is_arithmetic_at_rho_one(key):
    """From 1 to 0.5: sigma_down 0.25, midpoint 0.625; geometric (0.5) as rho grows."""
    seen = []

    def denoise(x, sigma):
        seen.append(float(sigma))
        return x

    for rho in (1.0, 1000.0):
        adpm2(rho)(key[None], denoise, jnp.ones((1, 4)), jnp.asarray(1.0), jnp.asarray(0.5))
    assert_allclose(seen, [1.0, 0.625, 1.0, 0.5], rtol=1e-3)
    assert seen[1] == 0.625


def k_diffusion_dpmpp_2m(denoise, x, levels):
    """``sample_dpmpp_2m`` of k-diffusion, transcribed."""
    old = None
    for i in range(len(levels) - 1):
        answer = denoise(x, levels[i])
        t, t_next = -np.log(levels[i]), np.inf if levels[i + 1] == 0 else -np.log(levels[i + 1])
        h = t_next - t
        if old is None or levels[i + 1] == 0:
            x = (levels[i + 1] / levels[i]) * x - np.expm1(-h) * answer
        else:
            r = (t + np.log(levels[i - 1])) / h
            ahead = (1 + 1 / (2 * r)) * answer - (1 / (2 * r)) * old
            x = (levels[i + 1] / levels[i]) * x - np.expm1(-h) * ahead
        old = answer
    return x


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("steps", [2, 3, 12])
def test_dpmpp_2m_is_k_diffusions(steps, key, rng):
    """On a bimodal prior, down to 0, against the published loop."""
    text, grid = words.text((0.8, 0.02), (-0.6, 0.08)), karras(steps, 1e-2, 2.0)
    rows = Text(*(leaf[None] for leaf in text))

    def denoise(x, sigma):
        return words.denoise(x, jnp.asarray(sigma), rows)

    x = jnp.asarray(rng.standard_normal((1, 7, 1)))
    found = jax.jit(lambda x: sample(key[None], denoise, dpmpp_2m, grid, x))(x)
    assert_allclose(found, k_diffusion_dpmpp_2m(denoise, x, np.asarray(grid)), rtol=1e-10)


def posterior_noise(variance):
    """The deviations with which `daps` is exact where nothing but noise is known."""

    def spread(noise, answer, sigma):
        v = jnp.asarray(variance)[None, ..., None]
        return jnp.sqrt(v * sigma**2 / (v + sigma**2)) * noise

    return spread


FOUR = np.array([[0.01, 0.04, 0.3, 1.0]])
SAMPLERS = {
    "euler": euler,
    "heun": heun,
    "ancestral": euler_ancestral,
    "adpm2": adpm2(),
    "adpm2 geometric": adpm2(math.inf),
    "dpmpp_2m": dpmpp_2m,
    "daps": daps(posterior_noise(FOUR)),
    "churn 10": churn(euler, 10, 500),
    "churn 40 of heun": churn(heun, 40, 500),
    "churn 10, resampled": resample(churn(euler, 10, 500), 2),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_keep_the_variance(name):
    """From the noisy data's variance at sigma 1, 500 steps end at the data's, to 2 %, mean 0."""
    start = white(1, 4, FOUR + 1)
    found = moments(SAMPLERS[name], lambda y: prior(FOUR), karras(500), start)
    assert_allclose(found.covariance[0, 0], FOUR[0], rtol=0.02)
    assert_array_equal(found.gain, np.zeros((1, 4)))  # the prior hears no mixture


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("resamples", [1, 2])
def test_churn_of_euler_loses_variance_to_first_order(resamples):
    """With MSDM's churn of 40 the variance is 4 to 5 % low at 500 steps, half that at 1000."""
    lost = []
    for n in (500, 1000):
        start = white(1, 4, FOUR + 1)
        step = resample(churn(euler, 40, n), resamples)
        found = moments(step, lambda y: prior(FOUR), karras(n), start)
        lost.append(1 - np.asarray(found.covariance[0, 0]) / FOUR[0])
    assert (lost[0] > 0.04).all()
    assert (lost[0] < 0.05).all()
    assert_allclose(lost[0] / lost[1], 2, atol=0.1)


@pytest.mark.usefixtures("x64")
def test_daps_forgets_where_it_was():
    """From moments that are wrong by any amount: the data's, up to what one level remembers.

    One step maps a variance V at level s to ``g^2 V + v s / (v + s)``, ``g = v / (v + s)``: two
    steps from sigma 30 on leave ``(v / 900)^2`` of the start, and the rest is exact.
    """
    start = white(1, 4, 900.0)  # all noise: the data's variance is missing
    step = daps(posterior_noise(FOUR))
    found = moments(step, lambda y: prior(FOUR), jnp.asarray([30.0, 1.0, 0.0]), start)
    assert_allclose(found.covariance[0, 0], FOUR[0], rtol=2e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("step", [euler, heun])
def test_moments_of_a_path_are_those_of_its_steps(step):
    """The oracle itself: a step that is said to have memory has the moments it has without."""

    def remember(keys, denoise, x, memory, sigma, sigma_next):
        return step(keys, denoise, x, sigma, sigma_next), memory

    start = white(1, 4, 1.0)
    apart = moments(step, lambda y: prior(FOUR), karras(20), start)
    whole = moments(MultiStep(lambda x: (), remember), lambda y: prior(FOUR), karras(20), start)
    assert_allclose(whole.covariance, apart.covariance, rtol=1e-12)


def test_moments_are_those_of_the_real_sampler(key):
    """The oracle's exact moments equal the sample's own, with real noise, to five errors."""
    n, variance = 20_000, np.array([[0.5]], np.float32)
    step, grid = resample(churn(euler_ancestral, 2, 8), 2), karras(8, 0.01, 1.0)
    keys = jax.random.split(key, n)

    @jax.jit
    def run(keys):
        return sample(keys, prior(variance), step, grid, initial_noise(keys, grid[0], (1, 1, 1)))

    draws = np.asarray(run(keys))
    exact = moments(step, lambda y: prior(variance), grid, white(1, 1, 1.0)).covariance.item()
    assert_allclose(draws.var(), exact, rtol=5 * math.sqrt(2 / n))
    assert_allclose(draws.mean(), 0, atol=5 * math.sqrt(exact / n))
