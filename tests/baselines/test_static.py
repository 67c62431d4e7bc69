"""The static filter finds class spectra in mixtures, and its stems sum to the mixture."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.signal import lfilter

from gmsdi_jax.baselines.static import StaticFilter, estimate_spectra, load, save, separate
from gmsdi_jax.baselines.trivial import mixture_copy, oracle_wiener, silence
from gmsdi_jax.errors import ConfigError, InputError, UnavailableError
from gmsdi_jax.metrics.si_sdr import si_sdr_improvement

T = 16384
N_FFT = 256
# All-pole filters with peaks in different places: (gain, feedback coefficients).
FILTERS = [(0.02, [1, -1.7, 0.8]), (0.05, [1, 0, 0.7]), (0.03, [1, 1.7, 0.8])]
PAIRS = [pair for pair in itertools.combinations(range(3), 2)]


def coloured(rng: np.random.Generator) -> np.ndarray:
    """One stationary stem per class."""
    white = rng.standard_normal((3, T))
    return np.stack([lfilter([g], a, w) for (g, a), w in zip(FILTERS, white, strict=True)])


def true_spectra() -> np.ndarray:
    """The power of each class: |gain / A(exp(i w))|**2, unit white noise having power 1."""
    return np.stack([abs(g / np.fft.rfft(a, N_FFT)) ** 2 for g, a in FILTERS])


@pytest.fixture(scope="module")
def mixtures() -> tuple[np.ndarray, np.ndarray]:
    """Windows in which exactly two classes sound: none is ever heard alone."""
    rng = np.random.default_rng(0)
    presence = np.zeros((30, 3), bool)
    for row, pair in zip(presence, itertools.cycle(PAIRS), strict=False):
        row[list(pair)] = True
    return np.stack([coloured(rng)[row].sum(0) for row in presence]), presence


def test_spectra_are_found_although_no_class_is_ever_heard_alone(mixtures):
    spectra = estimate_spectra(*mixtures, n_fft=N_FFT)
    expected = true_spectra()
    assert spectra.shape == expected.shape
    # Ten windows of 64 independent frames per pair: standard errors of 3 % of the bin's power.
    assert abs((spectra - expected) / expected.sum(0)).max() < 0.12
    assert_allclose(spectra.mean(1), expected.mean(1), rtol=0.03)


def test_label_sets_that_never_differ_are_refused(mixtures):
    windows, _ = mixtures
    together = np.tile([True, True, False], (len(windows), 1))
    with pytest.raises(InputError, match="apart"):
        estimate_spectra(windows, together, n_fft=N_FFT)


def test_stems_sum_to_the_mixture_and_beat_it(mixtures):
    stems = coloured(np.random.default_rng(1)).astype(np.float32)
    mixture = stems.sum(0)
    estimates = separate(mixture, estimate_spectra(*mixtures, n_fft=N_FFT))
    assert estimates.dtype == np.float32
    assert_allclose(estimates.sum(0), mixture, atol=1e-5)
    improvement = si_sdr_improvement(estimates, stems, mixture[None])
    assert improvement.min() > 3
    oracle = si_sdr_improvement(oracle_wiener(mixture, stems, N_FFT), stems, mixture[None])
    assert oracle.mean() > improvement.mean() + 1


def test_absent_classes_get_zeros_and_the_rest_the_whole_mixture():
    mixture = coloured(np.random.default_rng(2)).sum(0).astype(np.float32)[:5000]
    estimates = separate(mixture, true_spectra(), np.array([True, False, True]))
    assert not estimates[1].any()
    assert_allclose(estimates.sum(0), mixture, atol=1e-5)
    with pytest.raises(ConfigError, match="no label"):
        separate(mixture, true_spectra(), np.zeros(3, bool))


def test_a_bin_in_which_no_class_has_power_is_still_shared():
    spectra = np.zeros((2, N_FFT // 2 + 1))
    spectra[:, :10] = 1
    mixture = np.random.default_rng(3).standard_normal(1000).astype(np.float32)
    assert_allclose(separate(mixture, spectra).sum(0), mixture, atol=1e-5)


def test_saved_filter_reads_back(tmp_path):
    static = StaticFilter(true_spectra(), ("Bass", "Drums", "Piano"), 22050)
    save(tmp_path / "static.safetensors", static)
    back = load(tmp_path / "static.safetensors")
    assert_allclose(back.spectra, static.spectra, rtol=0)
    assert back[1:] == static[1:]


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(UnavailableError, match="none"):
        load(tmp_path / "none.safetensors")
    (tmp_path / "noise.safetensors").write_bytes(b"not a safetensors file")
    with pytest.raises(InputError, match="noise"):
        load(tmp_path / "noise.safetensors")


def test_trivial_rows():
    stems = coloured(np.random.default_rng(4))
    mixture = stems.sum(0)
    assert silence(mixture, 3).shape == (3, T)
    assert not silence(mixture, 3).any()
    copies = mixture_copy(mixture, 3)
    assert_allclose(si_sdr_improvement(copies, stems, mixture[None]), 0, atol=1e-9)
    assert_allclose(oracle_wiener(mixture, stems, N_FFT).sum(0), mixture, atol=1e-5)
