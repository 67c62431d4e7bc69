"""Songs of a split, what must fit a model, and the static baseline's spectra."""

import numpy as np
import pytest
from evaluate.tones import CONFIG, LABELS, RATE, write_songs
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.build import Model
from gmsdi_jax.errors import ConfigError, UnavailableError
from gmsdi_jax.evaluate import check_same, fit_static, songs_of


def test_songs_are_whole_tracks_with_their_stems(split):
    """As many as asked for, as long as asked for; the stems sum to the mixture."""
    songs = list(songs_of(split))
    assert [song.name for song in songs] == ["T0", "T1", "T2", "T3"]
    for song in songs:
        assert song.mixture.shape == (10 * RATE,)
        assert_allclose(song.stems.sum(0), song.mixture, atol=2.01 / 32768)
    few = list(songs_of(split, 2, seconds=1.5))
    assert [song.name for song in few] == ["T0", "T1"]
    assert_array_equal(few[1].stems, songs[1].stems[:, :3000])
    assert_array_equal(few[1].mixture, songs[1].mixture[:3000])


def test_songs_need_stems(tmp_path):
    """Training data has none: the message says which splits to use."""
    with pytest.raises(UnavailableError, match="holds no stems; evaluate on validation or test"):
        next(iter(songs_of(write_songs(tmp_path / "train", stems=False))))


def test_data_must_be_the_models(tmp_path, split):
    """Other labels, or labels in another order, or another rate, are refused by name."""
    model = Model(CONFIG)
    check_same(model, split)
    swapped = write_songs(tmp_path / "swapped", labels=("High", "Low"))
    with pytest.raises(ConfigError, match=r"labels High, Low are not the model's Low, High"):
        check_same(model, swapped)
    fast = write_songs(tmp_path / "fast", rate=4000)
    with pytest.raises(ConfigError, match=r"4000 Hz is not the model's 2000 Hz"):
        check_same(model, fast)


def test_static_spectra_come_from_mixtures(tmp_path):
    """One non-negative spectrum per class; each tone's power is in its own class."""
    split = write_songs(tmp_path / "train", stems=False)
    found = fit_static(split, windows=200, length=2048)
    assert found.spectra.shape == (2, 513)
    assert (found.spectra >= 0).all()
    assert (found.labels, found.sample_rate) == (LABELS, RATE)
    low = np.arange(513) * RATE / 1024 < 450
    shares = found.spectra[:, low].sum(1) / found.spectra.sum(1)
    assert shares[0] > 0.95
    assert shares[1] < 0.05
