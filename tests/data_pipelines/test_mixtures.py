"""One recording as a source: from a file or from inside a tar, with every damage named."""

import pickle

import numpy as np
import pytest
from layouts.archives import audio_bytes, tar

from data_pipelines import mixtures
from data_pipelines.mixtures import Mixture, Unusable
from data_pipelines.tars import index
from gmsdi_jax.errors import InputError


def in_file(tmp_path, data, name="a.mp3"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def in_tar(tmp_path, data, name="a.mp3"):
    return index(tar(tmp_path / "a.tar", [("other", bytes(999)), (name, data)])).members[name]


PLACES = pytest.mark.parametrize("place", [in_file, in_tar])


@PLACES
@pytest.mark.parametrize("format", ["MP3", "FLAC", "WAV", "OGG"])
def test_the_recording_comes_out_mono_at_the_rate_asked_for(tmp_path, place, format):
    data = audio_bytes(300.0, 2.0, format=format, sample_rate=44100, channels=2)
    track = pickle.loads(pickle.dumps(Mixture("a", ("x",), place(tmp_path, data), seconds=2.0)))
    audio = track.read(22050)
    assert audio.activity is None
    assert audio.stems.shape == (1, 44100)
    # The second channel is silent, so the mean has half of the first.
    wave = np.exp(-2j * np.pi * 300 * np.arange(44100) / 22050)
    assert 2 * abs(np.mean(audio.stems[0] * wave)) == pytest.approx(0.05, abs=2e-3)


def failure(track) -> str:
    with pytest.raises(InputError) as caught:
        track.read(22050)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def flipped(data: bytes) -> bytes:
    """The data with a part of its middle inverted."""
    middle = len(data) // 2
    return (
        data[:middle] + bytes(255 - b for b in data[middle : middle + 400]) + data[middle + 400 :]
    )


@PLACES
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "is empty (0 bytes)"),
        (lambda data: b"<html>Not found</html>" * 20, "is not audio"),
        (lambda data: bytes(len(data)), "is not audio"),
        (lambda data: data[: len(data) // 2], "truncated"),
        (lambda data: data[: int(0.93 * len(data))], "truncated or damaged"),
        (lambda data: audio_bytes(300.0, 18.0, format="MP3"), "is cut short: it lasts 18"),
        (lambda data: audio_bytes(300.0, 31.0, format="MP3"), "is another recording: it lasts 31"),
    ],
)
def test_damaged_mp3_is_one_line_with_its_place(tmp_path, place, damage, message):
    data = audio_bytes(300.0, 20.0, format="MP3")
    where = place(tmp_path, damage(data))
    found = failure(Mixture("a", (), where, seconds=20.0))
    assert found.startswith(str(where))
    assert message in found


@PLACES
def test_damaged_flac_is_one_line_with_its_place(tmp_path, place):
    data = flipped(audio_bytes(300.0, 3.0, sample_rate=44100))
    assert "damaged after" in failure(Mixture("a", (), place(tmp_path, data, "a.flac")))


@pytest.mark.parametrize(
    ("seconds", "listed", "right"),
    [
        (20.0, 20.95, True),  # a second: what encoders add
        (20.0, 19.05, True),
        (20.0, 21.1, False),
        (200.0, 201.9, True),  # a hundredth: a header without a count
        (200.0, 203.0, False),
        (200.0, 198.5, True),
        (200.0, 197.0, False),
    ],
)
def test_length_against_the_table(tmp_path, seconds, listed, right):
    data = audio_bytes(300.0, seconds, format="FLAC", sample_rate=8000)
    track = Mixture("a", (), in_file(tmp_path, data, "a.flac"), seconds=listed)
    if right:
        assert track.read(8000).stems.shape == (1, seconds * 8000)
    else:
        assert f"it lasts {seconds:.1f} s, the table says {listed:.1f} s" in failure(track)


def test_hours_are_refused_before_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr(mixtures, "MAX_SECONDS", 1.0)
    data = audio_bytes(300.0, 1.1)
    assert "longer than" in failure(Mixture("a", (), in_file(tmp_path, data)))


def test_shorter_than_a_sample(tmp_path):
    data = audio_bytes(300.0, 1 / 48000, format="WAV", sample_rate=48000)
    assert "shorter than one sample" in failure(Mixture("a", (), in_file(tmp_path, data)))


def test_found_damaged_before_reading():
    track = pickle.loads(pickle.dumps(Unusable("a", "it is a link", ("x",))))
    assert (track.name, track.labels) == ("a", ("x",))
    assert failure(track) == "it is a link"
