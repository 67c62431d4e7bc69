"""The sounds beside the page, and the null test."""

import numpy as np
import pytest
from evaluated import AMPLITUDE, LABELS, RATE, evaluation, keep_sound, leaking, stems

from gmsdi_jax import audio
from gmsdi_jax.errors import InputError
from gmsdi_jax.report import read_run
from gmsdi_jax.report.sound import NULL_FLOOR, gather, kept


@pytest.fixture
def folder(tmp_path):
    return evaluation(tmp_path / "run", {"a/b": {"ours": 12.0}, "c": {"ours": 6.0}}, keep=["a/b"])


def test_every_version_is_beside_the_page(folder, tmp_path):
    run = read_run(folder)
    sounds = gather(run, "a/b", 1, tmp_path / "out")
    assert [version.name for version in sounds.versions] == ["mixture", "reference", "ours"]
    assert sounds.seconds == 8.0
    for version in sounds.versions:
        for file, picture in zip(version.files, version.pictures, strict=True):
            assert (tmp_path / "out" / picture).is_file()
            assert audio.probe(tmp_path / "out" / file).frames == 8 * RATE
    truth, _ = audio.read(tmp_path / "out" / sounds.versions[1].files[1])
    np.testing.assert_allclose(truth[:, 0], stems(8.0)[1], atol=1e-6)


def test_songs_without_sound_have_none(folder, tmp_path):
    run = read_run(folder)
    assert kept(run, "a/b")
    assert kept(run, "c") is None
    assert gather(run, "c", 2, tmp_path / "out") is None
    assert not (tmp_path / "out").exists()


def test_stems_that_sum_to_the_mixture_null(folder, tmp_path):
    _, reference, ours = gather(read_run(folder), "a/b", 1, tmp_path / "out").versions
    assert NULL_FLOOR <= reference.null_db < -120  # two files of 24 bits, and the mixture's
    assert NULL_FLOOR <= ours.null_db < -120


def test_the_null_test_is_the_peak_of_what_is_left(folder, tmp_path):
    references = stems(8.0)
    short = leaking(references, 12.0)
    short[0] -= 0.1 * references[0]  # a tenth of the bass is lost
    keep_sound(folder, "a/b", references.sum(0), {"ours": short})
    ours = gather(read_run(folder), "a/b", 1, tmp_path / "out").versions[2]
    assert ours.null_db == pytest.approx(20 * np.log10(0.1 * AMPLITUDE), abs=0.01)


def test_a_stem_that_is_not_there_leaves_a_gap(folder, tmp_path):
    (folder / "audio" / "a-b" / "ours" / "Bass.flac").unlink()
    ours = gather(read_run(folder), "a/b", 1, tmp_path / "out").versions[2]
    assert ours.files[LABELS.index("Bass")] is None
    assert ours.files[LABELS.index("Drums")]
    assert ours.null_db is None


def test_a_stem_of_another_length_is_named(folder, tmp_path):
    path = folder / "audio" / "a-b" / "ours" / "Drums.flac"
    audio.write(path, np.zeros((RATE, 1), np.float32), RATE)
    with pytest.raises(InputError, match=r"Drums.flac: 8000 samples .* the mixture's 64000"):
        gather(read_run(folder), "a/b", 1, tmp_path / "out")


def test_a_damaged_file_is_named(folder, tmp_path):
    path = folder / "audio" / "a-b" / "ours" / "Drums.flac"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"Drums\.flac"):
        gather(read_run(folder), "a/b", 1, tmp_path / "out")
