"""Our protocol gives the numbers of MSDM's own evaluation, and our SI-SDR those of others.

`msdm_protocol.npz` holds what `record_msdm_protocol.py` recorded: the improvement of every stem in
every window that the published script keeps, in float32, and SI-SDR by fast_bss_eval 0.1.4 and
torchmetrics 1.9.0.
"""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.testing import assert_allclose, assert_array_equal
from parity.msdm_case import RATE, STEMS, signals, stacked, tracks

from gmsdi_jax.evaluate import FolderSongs, evaluate_folders
from gmsdi_jax.metrics.protocols import msdm
from gmsdi_jax.metrics.scores import read_scores
from gmsdi_jax.metrics.si_sdr import si_sdr


@pytest.fixture(scope="module")
def recorded():
    with np.load(Path(__file__).with_name("msdm_protocol.npz")) as file:
        return dict(file)


def test_every_window_scores_as_the_published_script_says(recorded):
    """The same windows kept, and every score to 1e-4 dB, silent references included."""
    rows = []
    for name, case in tracks().items():
        references = stacked(case)
        mixture = references.sum(0)
        rows += msdm(case.estimates, references, mixture, RATE, labels=STEMS, track=name)
    assert_array_equal([round(row.start_seconds * RATE) for row in rows[::4]], recorded["start"])
    scores = np.reshape([row.improvement for row in rows], (-1, 4))
    assert_allclose(scores, recorded["scores"], atol=1e-4)
    assert_allclose(scores.mean(0), recorded["mean"], atol=1e-4)


def test_the_recorded_windows_hold_every_kind_of_stem():
    """Else the test above would say less than it seems to."""
    (first, second) = (
        msdm(c.estimates, stacked(c), stacked(c).sum(0), RATE, labels=STEMS)
        for c in tracks().values()
    )
    for stem in ("guitar", "drums", "piano"):
        assert {row.active for row in first if row.stem == stem} == {True, False}
    assert not any(row.active for row in second if row.stem == "piano")
    assert max(row.window for row in second) == 4  # the short one: 2^18 samples are five windows
    assert {row.window for row in first} == set(range(11)) - {6, 7}
    assert max(row.improvement for row in first) > 60  # silence for a silent reference


@pytest.mark.parametrize("library", ["fast_bss_eval", "torchmetrics"])
def test_si_sdr_is_that_of_other_libraries(recorded, library):
    """They know no eps, MSDM's moves 60 dB by 2e-4 dB and what is worse by less."""
    assert_allclose(si_sdr(*signals(), eps=0), recorded[library], atol=1e-6)
    assert_allclose(si_sdr(*signals()), recorded[library], atol=3e-4)


def test_folders_score_as_the_published_script_says(recorded, tmp_path):
    """Through what ``gmsdi evaluate`` runs: a stem without a file, references that go on behind."""
    for track, case in tracks().items():
        for side in ("refs", "separated"):
            (tmp_path / side / track).mkdir(parents=True)
        for name, audio in case.references.items():
            if audio is not None:
                soundfile.write(tmp_path / "refs" / track / f"{name}.wav", audio, RATE, "FLOAT")
        for name, audio in zip(STEMS, case.estimates, strict=True):
            path = tmp_path / "separated" / track / f"{name}.wav"
            soundfile.write(path, audio, RATE, "FLOAT")
    said, failed = [], []
    songs = FolderSongs([tmp_path / "separated"], tmp_path / "refs", say=said.append)
    text = evaluate_folders(songs, out=tmp_path / "run", on_failure=failed.append)
    assert failed == []
    assert len(said) == 3  # two that end early, one without a file
    rows = [
        row
        for row in read_scores(tmp_path / "run")
        if (row.protocol, row.method) == ("msdm", "separated")
    ]
    assert songs.labels == STEMS
    scores = np.reshape([row.improvement for row in rows], (-1, 4))
    assert_allclose(scores, recorded["scores"], atol=1e-4)
    card = dict(zip(*(line.split("|") for line in text.splitlines()[:3:2]), strict=True))
    found = float(next(value for name, value in card.items() if name.strip() == "msdm"))
    assert_allclose(found, recorded["mean"].mean(), atol=0.0051)  # printed with two digits
