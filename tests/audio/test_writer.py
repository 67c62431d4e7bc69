"""Writing: a destination is checked before anything is computed, and is whole or absent."""

import resource
import signal

import numpy as np
import pytest
import soundfile as sf

from gmsdi_jax.audio import Writer, probe, read, write, writer
from gmsdi_jax.errors import NumericsError, OutputError


def refused(path, sample_rate=22050, channels=1, subtype=None) -> str:
    """The message for a destination that cannot be opened: one line that names it."""
    with pytest.raises(OutputError) as caught:
        Writer(path, sample_rate, channels, subtype)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_unwritable_destinations_fail_on_opening(tmp_path):
    (tmp_path / "file").touch()
    assert "Not a directory" in refused(tmp_path / "file" / "stems" / "bass.wav")
    (tmp_path / "folder.wav").mkdir()
    assert "is a folder" in refused(tmp_path / "folder.wav")
    assert ".wav, .flac, .ogg, .mp3" in refused(tmp_path / "bass.m4a")
    assert "PCM_24" in refused(tmp_path / "bass.flac", subtype="FLOAT")
    assert "too long" in refused(tmp_path / f"{'b' * 300}.wav")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder.wav"}


@pytest.mark.parametrize(
    ("name", "sample_rate", "channels"),
    [("a.mp3", 96000, 2), ("a.mp3", 44100, 6), ("a.flac", 44100, 9), ("a.ogg", 250000, 2)],
)
def test_what_a_format_cannot_hold_fails_on_opening(tmp_path, name, sample_rate, channels):
    assert ".wav or .flac name" in refused(tmp_path / name, sample_rate, channels)
    assert list(tmp_path.iterdir()) == []


def test_file_appears_only_when_complete(tmp_path):
    path = tmp_path / "new" / "folders" / "bass.wav"
    with Writer(path, 22050, 1) as file:
        file.write(np.ones((10, 1), np.float32))
        assert not path.exists()
        file.write(np.zeros((5, 1), np.float32))
    assert [item.name for item in path.parent.iterdir()] == ["bass.wav"]
    np.testing.assert_array_equal(read(path)[0][:, 0], [1.0] * 10 + [0.0] * 5)


@pytest.mark.parametrize("name", ["bass.wav", "bass.flac", "bass.ogg", "bass.mp3"])
def test_failure_leaves_the_older_file_alone(tmp_path, name):
    path = tmp_path / name
    write(path, np.zeros((5000, 1), np.float32), 22050)
    before = path.read_bytes()

    def interrupted():
        with Writer(path, 22050, 1) as file:
            file.write(np.ones((100, 1), np.float32))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [item.name for item in tmp_path.iterdir()] == [name]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "subtype", "expected"),
    [
        ("a.wav", None, ("WAV", "FLOAT")),
        ("a.WAV", "pcm_16", ("WAV", "PCM_16")),
        ("a.flac", None, ("FLAC", "PCM_24")),
        ("a.ogg", None, ("OGG", "VORBIS")),
        ("a.mp3", None, ("MP3", "MPEG_LAYER_III")),
    ],
)
def test_format_follows_the_extension(tmp_path, name, subtype, expected):
    write(tmp_path / name, np.zeros((3000, 2), np.float32), 44100, subtype)
    info = probe(tmp_path / name)
    assert (info.format, info.subtype) == expected


@pytest.mark.parametrize(
    ("name", "clipped"), [("a.wav", 0), ("a.flac", 3), ("a.mp3", 3), ("a.ogg", 3)]
)
def test_clipped_samples_are_counted(tmp_path, name, clipped):
    audio = np.zeros((5000, 2), np.float32)
    audio[10], audio[20, 0], audio[30, 0] = (1.5, -2.0), 1.0001, 1.0
    assert write(tmp_path / name, audio, 44100) == clipped


def test_float_wav_keeps_samples_beyond_full_scale(tmp_path):
    audio = np.array([[1.5], [-3.0]], np.float32)
    write(tmp_path / "a.wav", audio, 22050)
    np.testing.assert_array_equal(read(tmp_path / "a.wav")[0], audio)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_never_written(tmp_path, bad):
    with pytest.raises(NumericsError, match="NaN"):
        write(tmp_path / "a.wav", np.array([[0.0], [bad]], np.float32), 22050)
    assert list(tmp_path.iterdir()) == []


def test_wrong_channels(tmp_path):
    with (
        pytest.raises(ValueError, match="channels"),
        Writer(tmp_path / "a.wav", 22050, 2) as file,
    ):
        file.write(np.zeros((10, 1), np.float32))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def disk(monkeypatch):
    """A function that lets no file grow beyond some bytes, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("missing", [1, 500, 0.5])
def test_full_disk(tmp_path, disk, name, missing):
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (50_000, 1)).astype(np.float32)
    write(tmp_path / name, audio, 22050)
    size = (tmp_path / name).stat().st_size
    (tmp_path / name).unlink()
    disk(int(size * missing) if missing < 1 else size - missing)
    with pytest.raises(OutputError, match=r"a\.\w+ .*disk full"):
        write(tmp_path / name, audio, 22050)
    disk(resource.RLIM_INFINITY)
    assert list(tmp_path.iterdir()) == []


def test_wav_beyond_four_gib_becomes_rf64(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "_WAV_LIMIT", 4000)
    path, audio = tmp_path / "long.wav", np.ones((1001, 1), np.float32)
    with pytest.raises(OutputError, match="4 GiB"), Writer(path, 22050, 1) as file:
        file.write(audio)
    assert list(tmp_path.iterdir()) == []
    write(path, audio, 22050)
    assert sf.info(path).format == "RF64"
    np.testing.assert_array_equal(read(path)[0], audio)
    write(path, audio, 22050, "PCM_16")
    assert sf.info(path).format == "WAV"
