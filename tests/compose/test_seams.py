"""Seams of coloured noise, whose every window has a perfect denoiser: what joining costs, exactly.

The prior is ``corr(x_i, x_j) = RHO^|i - j|``. A deterministic sampler is linear in its first noise,
so one run on unit vectors gives the covariance of its samples without a random number. Three ways
to a signal of several windows: windows drawn apart and cross-faded, one state whose windows'
answers are cross-faded at every step (`windowed`), and windows that begin with the end of the one
before (`clamp`).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float
from numpy.testing import assert_allclose

from gmsdi_jax.audio import OverlapAdd, plan
from gmsdi_jax.compose import clamp, windowed
from gmsdi_jax.diffusion import adpm2, heun, initial_noise, karras, resample, sample
from gmsdi_jax.types import Text

RHO, WINDOW, HOP, COUNT = 0.95, 64, 32, 5
LENGTH = WINDOW + (COUNT - 1) * HOP
MIDDLES = np.arange(HOP + HOP // 2, LENGTH - HOP, HOP)  # of the overlaps
INSIDE = np.arange(HOP, LENGTH, HOP)  # the middles of the windows


def covariance(n: int) -> np.ndarray:
    return RHO ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))


def denoise(x: Float[Array, "b t c"], sigma: Array, text: Text | None = None) -> Array:
    """The posterior mean under the prior: ``C (C + sigma^2)^-1 x``, by C's eigenvectors."""
    values, vectors = np.linalg.eigh(covariance(x.shape[1]))
    level = jnp.broadcast_to(sigma, x.shape[:1])[:, None, None]
    gains = jnp.asarray(values)[None, :, None] / (jnp.asarray(values)[None, :, None] + level**2)
    rotated = jnp.einsum("ij,bic->bjc", jnp.asarray(vectors), x)
    return jnp.einsum("ij,bjc->bic", jnp.asarray(vectors), gains * rotated)


def texts(b: int) -> Text:
    return Text(jnp.zeros((b, 1, 1)), jnp.ones((b, 1), bool))


def drawn(denoiser, length: int) -> np.ndarray:
    """The covariance of what Heun's method draws, from its answers to unit vectors."""
    sigmas = karras(40, 1e-3, 30.0)
    keys = jax.random.split(jax.random.key(0), length)
    units = sigmas[0].astype(float) * jnp.eye(length)[..., None]
    answers = np.asarray(jax.jit(lambda x: sample(keys, denoiser, heun, sigmas, x))(units))[..., 0]
    return answers.T @ answers


def level(power: np.ndarray, at: np.ndarray) -> float:
    """The mean of the two samples around every point, dB."""
    return float(10 * np.log10(np.mean([power[at - 1], power[at]])))


def across(found: np.ndarray, lag: int) -> float:
    """The mean correlation of samples on either side of the overlaps' middles."""
    i, j = MIDDLES - lag // 2, MIDDLES + lag // 2
    return float((found[i, j] / np.sqrt(found[i, i] * found[j, j])).mean())


def test_windows_drawn_apart_lose_three_decibels_and_their_correlation(x64):
    """Half of each in the middle: -3.01 dB, and what is on either side is hardly related."""
    each = drawn(lambda x, sigma: denoise(x, sigma), WINDOW)
    assert_allclose(each, covariance(WINDOW), atol=0.02)  # the sampler itself is right
    found = np.zeros((LENGTH, LENGTH))
    for number in range(COUNT):
        joined = OverlapAdd(plan(WINDOW, 0.5))
        pushed = [joined.push(np.eye(WINDOW)[..., None] * (i == number)) for i in range(COUNT)]
        fade = np.concatenate([*pushed, joined.finish(LENGTH)], axis=1)[..., 0]
        found += fade.T @ each @ fade
    power = np.diagonal(found)
    # Weights w and 1 - w: w^2 + (1 - w)^2 = 1 - sin^2(pi p) / 2, half a sample off 1/2 and off 1.
    middle, inside = (1 - np.sin(np.pi * p / HOP) ** 2 / 2 for p in (HOP / 2 - 0.5, HOP - 0.5))
    expected = 10 * np.log10(middle / inside)
    assert_allclose(expected, -3.01, atol=0.02)
    assert_allclose(level(power, MIDDLES) - level(power, INSIDE), expected, atol=0.02)
    assert across(found, 32) < 0.6 * RHO**32


def test_one_state_has_no_seam(x64):
    """`windowed`: as loud in the overlaps as beside them, and related across them as it should."""
    joined = windowed(denoise, WINDOW, HOP)
    found = drawn(lambda x, sigma: joined(x, sigma, texts(x.shape[0])), LENGTH)
    power = np.diagonal(found)
    assert abs(level(power, MIDDLES) - level(power, INSIDE)) < 0.1
    assert_allclose(level(power, INSIDE), 0, atol=0.25)
    for lag in (2, 16):
        assert_allclose(across(found, lag), RHO**lag, atol=0.03)
    rough = np.diff(np.eye(LENGTH), n=2, axis=0)
    clicks = np.diagonal(rough @ found @ rough.T)
    assert abs(level(clicks, MIDDLES - 1) - level(clicks, INSIDE[:-1] - 1)) < 0.1


def continued(step, b: int) -> Float[np.ndarray, "b t"]:
    """The end of an exact window, and what is drawn behind it."""
    keys, sigmas = jax.random.split(jax.random.key(1), b), karras(30, 1e-3, 30.0)
    root = np.linalg.cholesky(covariance(WINDOW))
    past = np.random.default_rng(0).standard_normal((b, WINDOW)) @ root.T
    known = jnp.asarray(np.pad(past[:, HOP:], ((0, 0), (0, HOP))))[:, None, :, None]
    joint = clamp(
        lambda x, sigma: denoise(x[:, 0], sigma)[:, None], known, jnp.arange(WINDOW)[None] < HOP
    )
    start = known + initial_noise(keys, sigmas[0].astype(float), known.shape[1:], jnp.float64)
    return np.asarray(jax.jit(lambda x: sample(keys, joint, step, sigmas, x))(start))[:, 0, :, 0]


@pytest.mark.parametrize(("n", "power", "correlation"), [(1, -1.2, 0.83), (4, -0.6, 0.925)])
def test_a_clamped_beginning_leaves_a_join_that_resampling_mends(x64, n, power, correlation):
    """Clamping replaces, it does not condition. At the join samples correlate by 0.83 and not by
    0.95, and the first ones are too quiet; each step taken four times halves that."""
    found = continued(resample(adpm2(), n), 2000)
    assert_allclose(found[:, :HOP].var(), 1, atol=0.05)
    assert_allclose(10 * np.log10(found[:, HOP : HOP + 4].var()), power, atol=0.3)
    assert_allclose(np.corrcoef(found[:, HOP - 1], found[:, HOP])[0, 1], correlation, atol=0.02)
