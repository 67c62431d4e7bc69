"""Which windows are kept, which stems are scored, and what is said of the others."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gmsdi_jax.errors import InputError, NumericsError
from gmsdi_jax.metrics.protocols import SILENT_NORM, active, msdm, whole_chunks

RATE = 1000
WINDOW = 4 * RATE
LABELS = ("Bass", "Drums", "Guitar")


def stems(seconds: float, rms: tuple[float, ...] = (0.1, 0.2, 0.0), seed: int = 0) -> np.ndarray:
    """White stems whose rms over the whole track is exact."""
    noise = np.random.default_rng(seed).standard_normal((len(rms), int(seconds * RATE)))
    noise /= np.sqrt((noise**2).mean(-1, keepdims=True))
    return (noise * np.array(rms)[:, None]).astype(np.float32)


def scores(protocol, estimates, references):
    return protocol(estimates, references, references.sum(0), RATE, labels=LABELS, track="song")


@pytest.mark.parametrize(
    ("seconds", "count"), [(2, 0), (3, 1), (4, 1), (4.001, 2), (6, 2), (11, 5)]
)
def test_number_of_windows_is_the_ceiling(seconds, count):
    references = stems(seconds)
    for protocol in (msdm, active):
        rows = scores(protocol, references, references)
        assert [row.window for row in rows[:: len(LABELS)]] == list(range(count))
        assert [row.start_seconds for row in rows[:: len(LABELS)]] == [
            2.0 * i for i in range(count)
        ]
        assert [row.stem for row in rows] == list(LABELS) * count


def test_windows_with_one_sounding_stem_are_skipped():
    references = stems(10)
    references[0, 4 * RATE :] = 0
    for protocol in (msdm, active):
        kept = {row.window for row in scores(protocol, references, references)}
        assert kept == {0, 1}


def test_msdm_gate_depends_on_the_number_of_samples():
    quiet = SILENT_NORM * np.sqrt(WINDOW)  # rms at which ||x|| / N meets the gate in a full window
    assert not scores(msdm, *[stems(4, (0.1, 0.99 * quiet, 0.0))] * 2)
    assert scores(msdm, *[stems(4, (0.1, 1.01 * quiet, 0.0))] * 2)
    assert scores(msdm, *[stems(2.4, (0.1, 0.99 * quiet, 0.0))] * 2)


def test_active_gate_is_an_rms_at_any_length():
    for seconds in (2.4, 4):
        assert not scores(active, *[stems(seconds, (0.1, 0.00449, 0.0))] * 2)
        assert scores(active, *[stems(seconds, (0.1, 0.00451, 0.0))] * 2)


def test_msdm_scores_silent_references_and_rewards_muting():
    references = stems(4)
    absent = scores(msdm, np.zeros_like(references), references)[2]
    energy = float((references.sum(0).astype(np.float64) ** 2).sum())
    assert not absent.active
    assert_allclose(absent.improvement, 10 * np.log10(energy / 1e-8), atol=1e-3)


def test_active_never_scores_silent_references_and_reports_their_level():
    references = stems(10)
    mixture = references.sum(0)
    estimates = references + np.array([[0], [0], [0.01]], np.float32) * mixture
    rows = scores(active, estimates, references)
    assert {row.stem for row in rows if np.isfinite(row.improvement)} == {"Bass", "Drums"}
    absent = [row for row in rows if not row.active]
    assert {row.stem for row in absent} == {"Guitar"}
    assert all(np.isnan([row.si_sdr, row.si_sdr_mixture, row.improvement]).all() for row in absent)
    assert_allclose([row.level_db for row in absent], -40, atol=1e-3)
    assert not any(row.silent_output for row in rows)


def test_silent_output_is_flagged_only_where_the_reference_sounds():
    references = stems(4)
    estimates = references * np.array([[1.0], [0.01], [0.0]], np.float32)
    for protocol in (msdm, active):
        assert [row.silent_output for row in scores(protocol, estimates, references)] == [
            False,
            True,
            False,
        ]


def test_improvement_is_estimate_minus_mixture():
    references = stems(4)
    rows = scores(active, np.repeat(references.sum(0, keepdims=True), 3, 0), references)
    assert_allclose([row.improvement for row in rows[:2]], 0, atol=1e-6)
    # Bass at 0.1 against Drums at 0.2: -6 dB, up to the chance correlation of two noises.
    assert_allclose(rows[0].si_sdr_mixture, -20 * np.log10(2), atol=0.5)


def test_wrong_shapes_and_nan_are_refused():
    references = stems(4)
    with pytest.raises(InputError, match="song"):
        scores(msdm, references[:, :-1], references)
    with pytest.raises(NumericsError, match="song"):
        scores(active, references * np.nan, references)


def test_the_tail_behind_the_last_whole_chunk_is_not_published():
    assert whole_chunks(3 * 2**18 + 99, 22050) == 3 * 2**18
    assert whole_chunks(2**18 - 1, 22050) == 2**18 - 1
    assert whole_chunks(60 * 44100, 44100) == 5 * 2**19


def test_stems_that_nobody_estimated_count_as_sounding():
    references = stems(4, (0.1, 0.0, 0.0))
    others = stems(4, (0.2, 0.0), seed=1)
    mixture = references.sum(0) + others.sum(0)
    for protocol in (msdm, active):
        assert not protocol(references, references, mixture, RATE, labels=LABELS)
        rows = protocol(references, references, mixture, RATE, labels=LABELS, others=others)
        assert [row.stem for row in rows] == list(LABELS)
        assert [row.active for row in rows] == [True, False, False]


def test_plain_sdr_stands_beside_and_counts_a_wrong_gain():
    references = stems(4, (0.1, 0.2, 0.05))
    for protocol in (msdm, active):
        rows = scores(protocol, 0.9 * references, references)
        assert_allclose([row.sdr for row in rows], 20, atol=1e-3)
        assert min(row.si_sdr for row in rows) > 60
    absent = scores(active, stems(4), stems(4))[2]
    assert np.isnan(absent.sdr)
