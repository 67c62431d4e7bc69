import numpy as np
import pytest

from gmsdi_jax.data import Settings, WholeTrack, fixed_windows, open_split, write_split
from gmsdi_jax.errors import InputError, UnavailableError

CHUNK, HOP, WINDOW = 4096, 256, 1024


def write(folder, stems=True):
    rng = np.random.default_rng(0)
    made = Settings(("Bass", "Drums", "Piano"), chunk=CHUNK, hop=HOP, stems=stems)
    tracks = []
    for number in range(4):
        audio = 0.1 * rng.uniform(-1, 1, (3, 9_000)).astype(np.float32)
        audio[number % 3] = 0
        audio[1, 3000:6000] = 0
        tracks.append(WholeTrack(f"T{number}", audio))
    write_split(folder, made, tracks)
    return open_split(folder)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "test")


def test_windows_are_what_they_say(split):
    windows = fixed_windows(split, WINDOW, 20)
    assert windows.mixture.shape == (20, WINDOW, 1)
    assert windows.stems.shape == (20, 3, WINDOW, 1)
    assert windows.presence.sum(1).min() >= 2
    np.testing.assert_allclose(windows.stems.sum(1), windows.mixture, atol=2.01 / 32768)
    rms = np.sqrt(np.mean(windows.stems**2, axis=(2, 3)))
    np.testing.assert_array_equal(rms >= 0.0045, windows.presence)
    tracks = {track.name: track for track in split.tracks()}
    for i, (name, start) in enumerate(zip(windows.track, windows.start, strict=True)):
        np.testing.assert_array_equal(
            tracks[name].mixture[start : start + WINDOW], windows.mixture[i]
        )


def test_windows_are_fixed_and_spread_over_the_songs(split):
    few, many = fixed_windows(split, WINDOW, 6), fixed_windows(split, WINDOW, 20)
    np.testing.assert_array_equal(few.mixture, many.mixture[:6])
    assert set(fixed_windows(split, WINDOW, 8).track) == {"T0", "T1", "T2", "T3"}
    other = fixed_windows(split, WINDOW, 6, seed=1)
    assert few.start != other.start
    assert len(set(zip(many.track, many.start, strict=True))) == 20


def test_no_window_is_shorter_than_it_says(split):
    windows = fixed_windows(split, WINDOW, 60)
    assert max(windows.start) <= 2 * CHUNK - WINDOW  # the third chunk is shorter than a window


def test_too_few_windows_is_an_error(split):
    with pytest.raises(InputError, match="has only"):
        fixed_windows(split, WINDOW, 1000)
    with pytest.raises(InputError, match="only 0 windows with 3"):
        fixed_windows(split, WINDOW, 1, min_active=3)


def test_stems_are_needed(tmp_path):
    with pytest.raises(UnavailableError, match="no stems"):
        fixed_windows(write(tmp_path / "train", stems=False), WINDOW, 1)
