"""Sound on disk: the truth once, the model's stems per validation, and a limit on both."""

import numpy as np

from gmsdi_jax.audio import read
from gmsdi_jax.train.observe.picture import compare
from gmsdi_jax.train.observe.samples import SampleFiles


def steps(folder):
    return sorted(int(path.name[5:]) for path in folder.glob("step-*"))


def test_files_hold_the_samples(tmp_path, sample):
    SampleFiles(tmp_path).write(10, [sample(), sample("T/2")], {10: 1.0})
    names = sorted(path.name for path in (tmp_path / "step-10").iterdir())
    assert names == ["00 T1 at 0.5 s", "01 T_2"]
    audio, rate = read(tmp_path / "step-10" / "00 T1 at 0.5 s" / "Piano.wav")
    assert rate == 8000
    np.testing.assert_array_equal(audio[:, 0], sample().estimates[1])
    truth = {path.name for path in (tmp_path / "truth" / "01 T_2").iterdir()}
    assert truth == {"Bass.wav", "Piano.wav", "mixture.wav"}


def test_the_last_and_the_best_are_kept(tmp_path, sample):
    """With NaN as a score, which is never the best."""
    files, scores = SampleFiles(tmp_path, keep=2), {}
    for step, score in enumerate([5.0, 1.0, 4.0, 2.0, float("nan"), 0.0], 1):
        scores[step] = score
        files.write(step, [sample()], scores)
    assert steps(tmp_path) == [1, 3, 5, 6]


def test_a_resumed_run_replaces_what_lies_ahead(tmp_path, sample):
    files = SampleFiles(tmp_path)
    for step in (10, 20, 30):
        files.write(step, [sample()], {})
    SampleFiles(tmp_path).write(20, [sample()], {})
    assert steps(tmp_path) == [10, 20]


def test_the_newest_stay_whatever_the_limit(tmp_path, sample):
    files = SampleFiles(tmp_path, limit=1)
    for step in (10, 20):
        files.write(step, [sample()], {})
    assert steps(tmp_path) == [20]


def test_samples_that_cannot_be_written_are_one_line(tmp_path, sample):
    """Not finite, or no disk: the run goes on."""
    said = []
    files = SampleFiles(tmp_path, said.append)
    for step in (10, 20):
        files.write(step, [sample(scale=np.nan)], {})
    assert len(said) == 1
    assert "NaN" in said[0]
    (tmp_path / "taken").write_text("")
    SampleFiles(tmp_path / "taken", said.append).write(10, [sample()], {})
    assert len(said) == 2


def test_a_picture_has_low_notes_below_and_loud_ones_white(sample):
    """200 Hz is the bass, 2000 Hz the piano; three rows of 80 bands with white lines between."""
    bass, piano = compare(sample(), 0), compare(sample(), 1)
    assert bass.shape == (244, 32)
    truth = slice(82, 162)
    below, above = bass[truth].mean(1).argmax(), piano[truth].mean(1).argmax()
    assert below > above  # rows count from the top
    assert (bass[80:82] == 255).all()
    assert bass[truth].max() > bass[164:].max()  # half the level is a darker grey
