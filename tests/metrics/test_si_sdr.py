"""Closed forms of SI-SDR, and the values that its `eps` gives in silence."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gmsdi_jax.metrics.si_sdr import sdr, si_sdr, si_sdr_improvement

T = 88200


def orthogonal_pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A signal and a noise of energy T each, exactly orthogonal."""
    s, n = np.random.default_rng(seed).standard_normal((2, T))
    n = n - (n @ s) / (s @ s) * s
    return s * np.sqrt(T / (s @ s)), n * np.sqrt(T / (n @ n))


@pytest.mark.parametrize("snr", [-20.0, 0.0, 7.5, 40.0])
def test_orthogonal_noise_gives_its_snr(snr):
    s, n = orthogonal_pair()
    assert_allclose(si_sdr(s + n * 10 ** (-snr / 20), s), snr, atol=1e-4)
    assert_allclose(sdr(s + n * 10 ** (-snr / 20), s), snr, atol=1e-4)


def test_gain_of_the_estimate_does_not_matter_to_si_sdr_but_to_sdr():
    s, n = orthogonal_pair()
    estimate = s + 0.3 * n
    assert_allclose(si_sdr(0.1 * estimate, s), si_sdr(estimate, s), atol=1e-6)
    assert_allclose(si_sdr(-estimate, s), si_sdr(estimate, s), atol=1e-6)
    assert_allclose(sdr(0.5 * s, s), 20 * np.log10(2), atol=1e-6)


def test_mean_is_not_removed():
    s, n = orthogonal_pair()
    n = n - n.mean()
    dc = np.full(T, 0.5)
    assert si_sdr(s + 0.1 * n, s) - si_sdr(s + 0.1 * n + dc, s) > 10


def test_batches_broadcast_like_single_signals():
    s, n = orthogonal_pair()
    stems = np.stack([s, n])
    together = si_sdr((s + 0.5 * n)[None], stems)
    assert_allclose(together, [20 * np.log10(2), -20 * np.log10(2)], atol=1e-6)


def test_improvement_is_the_difference_and_zero_for_the_scaled_mixture():
    s, n = orthogonal_pair()
    mixture = s + n
    assert_allclose(si_sdr_improvement(s + 0.1 * n, s, mixture), 20, atol=1e-4)
    assert_allclose(si_sdr_improvement(0.25 * mixture, s, mixture), 0, atol=1e-6)


def test_silent_estimate_scores_zero_so_it_improves_on_a_quiet_stem():
    s, n = orthogonal_pair()
    reference, mixture = 0.1 * s, 0.1 * s + 0.1 * np.sqrt(10) * n
    assert_allclose(si_sdr(np.zeros(T), reference), 0, atol=1e-4)
    assert_allclose(si_sdr_improvement(np.zeros(T), reference, mixture), 10, atol=1e-3)


@pytest.mark.parametrize("below", [20, 40, 60])
def test_silent_reference_scores_only_how_quiet_the_estimate_is(below):
    mixture = 0.1 * orthogonal_pair()[0]
    estimate = mixture * 10 ** (-below / 20)
    assert_allclose(si_sdr_improvement(estimate, np.zeros(T), mixture), below, atol=1e-3)


def test_silence_for_a_silent_reference_improves_by_more_than_a_hundred_decibels():
    mixture = 0.1 * orthogonal_pair()[0]
    energy = 0.01 * T
    got = si_sdr_improvement(np.zeros(T), np.zeros(T), mixture)
    assert_allclose(got, 10 * np.log10(energy / 1e-8), atol=1e-3)
    assert got > 100


def test_jax_arrays_give_the_same_numbers():
    s, n = orthogonal_pair()
    estimate = (s + 0.1 * n).astype(np.float32)
    got = si_sdr(jnp.asarray(estimate), jnp.asarray(s.astype(np.float32)))
    assert got.dtype == jnp.float32
    assert_allclose(got, si_sdr(estimate, s), atol=1e-3)


def test_eps_joins_both_sides_of_both_fractions():
    whisper = np.full(4, 0.5e-4)  # energy 1e-8 = eps: alpha is 1, the ratio (eps + eps) / eps
    assert_allclose(si_sdr(whisper, whisper), 10 * np.log10(2), atol=1e-9)
