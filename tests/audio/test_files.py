"""Reading: every format comes back, and every bad file is named with the reason."""

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from gmsdi_jax.audio import Reader, probe, read, read_blocks, write
from gmsdi_jax.errors import InputError

# The greatest error of a sample at full scale 1: exact, one step of 24 bits, lossy codecs.
TOLERANCE = {"wav": 0.0, "flac": 2.0**-23, "ogg": 0.02, "mp3": 0.02}


@pytest.mark.parametrize("extension", TOLERANCE)
@pytest.mark.parametrize(
    ("sample_rate", "frequencies"),
    [(44100, (220.0, 330.0)), (22050, (220.0,)), (48000, (440.0, 110.0))],
)
def test_every_format_gives_back_what_was_written(
    tmp_path, tone, extension, sample_rate, frequencies
):
    audio = tone(1.3, sample_rate, frequencies)
    path = tmp_path / f"song.{extension}"
    assert write(path, audio, sample_rate) == 0
    info = probe(path)
    assert (info.sample_rate, info.channels, info.frames) == (sample_rate, *audio.shape[::-1])
    assert info.seconds == pytest.approx(1.3, abs=1e-4)
    back, rate = read(path)
    assert (rate, back.shape, back.dtype) == (sample_rate, audio.shape, np.float32)
    # Codecs err at the first attack and the last; the sound between is judged.
    inside = slice(sample_rate // 10, -sample_rate // 10)
    np.testing.assert_allclose(back[inside], audio[inside], atol=TOLERANCE[extension], rtol=0)


@pytest.mark.parametrize("extension", TOLERANCE)
def test_blocks_of_any_size_join_into_the_file(tmp_path, tone, extension):
    path = tmp_path / f"song.{extension}"
    write(path, tone(1.0, 22050), 22050)
    whole, _ = sf.read(path, dtype="float32")
    blocks = list(read_blocks(path, 1000))
    assert [len(block) for block in blocks] == [1000] * 22 + [50]
    # In tonal music mp3 frames borrow bits from earlier ones: no block may start afresh.
    np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-6, rtol=0)


def test_two_readers_go_in_lockstep_with_any_step(tmp_path, tone):
    path = tmp_path / "song.flac"
    write(path, tone(1.0, 22050), 22050)
    whole, _ = read(path)
    with Reader(path) as reader:
        for n in (0, 1, 4096, 10000):
            start = reader.position
            np.testing.assert_array_equal(reader.take(n), whole[start : start + n])
        assert len(reader.take(10**6)) == 22050 - 14097
        assert reader.position == 22050
        assert reader.take(5).shape == (0, 2)


def test_read_converts_rate_and_channels(tmp_path, tone):
    path = tmp_path / "song.wav"
    write(path, tone(2.0, 44100, (220.0, 330.0)), 44100)
    audio, rate = read(path, sample_rate=22050, mono=True)
    assert (rate, audio.shape) == (22050, (44100, 1))
    expected = tone(2.0, 22050, (220.0, 330.0)).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(audio[2000:-2000], expected[2000:-2000], atol=1e-4)


def failure(path: Path, opened: bool = True) -> str:
    """The message for a file that cannot be read through: one line that names it.

    The same file, already open, fails in the same words.
    """
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    if opened:
        with path.open("rb") as file, pytest.raises(InputError) as caught:
            read(file, name=str(path))
        # soundfile has words of its own for a path that ends in .raw.
        assert str(caught.value).split(" (")[0] == message.split(" (")[0]
    return message


def test_missing_file(tmp_path):
    assert "does not exist" in failure(tmp_path / "none.wav", opened=False)
    (tmp_path / "file").write_text("")
    assert "does not exist" in failure(tmp_path / "file" / "none.wav", opened=False)


def test_folder_and_pipe(tmp_path):
    folder = tmp_path / "folder.wav"
    folder.mkdir()
    assert "is a folder" in failure(folder, opened=False)
    os.mkfifo(tmp_path / "pipe.wav")
    assert "not a regular file" in failure(tmp_path / "pipe.wav", opened=False)


@pytest.mark.parametrize("name", ["notes.txt", "notes.wav", "notes.mp3", "notes.raw"])
def test_not_audio(tmp_path, name):
    path = tmp_path / name
    path.write_text("no music here " * 200)
    assert "not audio" in failure(path)
    with pytest.raises(InputError, match="not audio"):
        probe(path)


def test_zero_length(tmp_path):
    (tmp_path / "bytes.wav").touch()
    assert "0 bytes" in failure(tmp_path / "bytes.wav")
    sf.write(tmp_path / "frames.wav", np.zeros((0, 2)), 44100)
    assert "no samples" in failure(tmp_path / "frames.wav")


def test_permission_denied(tmp_path, monkeypatch):
    # Tests may run as root, whom no mode bits stop.
    def refuse(self, *_):
        raise PermissionError(13, "Permission denied", str(self))

    path = tmp_path / "song.wav"
    write(path, np.zeros((10, 1), np.float32), 22050)
    monkeypatch.setattr(Path, "open", refuse)
    assert "permission denied" in failure(path, opened=False)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_located(tmp_path, tone, bad):
    audio = tone(8.0, 22050)
    audio[5 * 22050, 1] = bad
    audio[6 * 22050, 0] = np.nan
    path = tmp_path / "song.wav"
    sf.write(path, audio, 22050, subtype="FLOAT")
    assert "first at 5.000 s" in failure(path)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.999])
@pytest.mark.parametrize("format", ["WAV", "RF64", "AIFF"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_truncated_wav_fails_before_any_sample_is_read(tmp_path, tone, share, format, subtype):
    path = tmp_path / f"song.{format}"
    sf.write(path, tone(4.0, 22050), 22050, format=format, subtype=subtype)
    assert probe(path).frames == 4 * 22050
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=r"truncated: \d\.\d+ s of 4\.000 s"):
        probe(path)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
def test_wav_from_a_pipe_is_whole(tmp_path, tone, size):
    path = tmp_path / "song.wav"
    audio = tone(1.0, 22050)
    write(path, audio, 22050)
    data = path.read_bytes()
    at = data.index(b"data") + 4
    path.write_bytes(data[:at] + struct.pack("<I", size) + data[at + 4 :])
    np.testing.assert_array_equal(read(path)[0], audio)


def test_wav_with_chunks_after_the_samples_is_whole(tmp_path, tone):
    path = tmp_path / "song.wav"
    write(path, tone(1.0, 22050), 22050)
    path.write_bytes(path.read_bytes() + b"id3 \x04\x00\x00\x00abcd")
    assert probe(path).frames == 22050


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_truncated_flac(tmp_path, tone, share):
    path = tmp_path / "song.flac"
    write(path, tone(4.0, 22050), 22050)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "truncated" in failure(path)


def with_flac_length(data: bytes, frames: int) -> bytes:
    """A flac file whose STREAMINFO claims another total: 36 bits from the middle of byte 21."""
    return data[:21] + bytes([data[21] & 0xF0]) + struct.pack(">I", frames) + data[26:]


def test_flac_that_promises_more_frames_than_it_holds(tmp_path, tone):
    path = tmp_path / "song.flac"
    write(path, tone(4.0, 22050), 22050)
    path.write_bytes(with_flac_length(path.read_bytes(), 100_000))
    assert probe(path).frames == 100_000
    assert "truncated" in failure(path)


def test_flac_of_unknown_length(tmp_path, tone):
    path = tmp_path / "song.flac"
    write(path, tone(1.0, 22050), 22050)
    path.write_bytes(with_flac_length(path.read_bytes(), 0))
    assert "how long" in failure(path)


def test_damaged_flac(tmp_path, tone):
    path = tmp_path / "song.flac"
    write(path, tone(4.0, 22050), 22050)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 100] = bytes(100)
    path.write_bytes(data)
    assert "damaged" in failure(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("extension", ["mp3", "ogg"])
def test_truncated_mp3_and_ogg(tmp_path, tone, extension, share):
    path = tmp_path / f"song.{extension}"
    write(path, tone(20.0, 22050), 22050)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "truncated" in failure(path)


@pytest.mark.parametrize("extension", TOLERANCE)
def test_an_open_file_gives_the_samples_of_its_path(tmp_path, tone, extension):
    path = tmp_path / f"song.{extension}"
    write(path, tone(1.0, 22050), 22050)
    expected, _ = read(path)
    file = io.BytesIO(path.read_bytes())
    file.seek(100)  # wherever it stands, it is read from its beginning
    np.testing.assert_allclose(read(file)[0], expected, atol=1e-6, rtol=0)
    assert not file.closed
    with path.open("rb") as file:
        assert probe(file).name == str(path)
        assert probe(file, name="a name").name == "a name"
        assert np.concatenate(list(read_blocks(file, 1000))).shape == expected.shape


def test_a_path_whose_name_is_no_text(tmp_path, tone):
    write(tmp_path / "song.flac", tone(0.1, 22050), 22050)
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.flac"))
    (tmp_path / "song.flac").rename(path)
    assert len(read(path)[0]) == 2205


class FailingDisk(io.BytesIO):
    """A file whose bytes beyond some place cannot be read."""

    def __init__(self, data: bytes, good: int) -> None:
        super().__init__(data)
        self.good = good

    def read(self, n=-1):
        if self.tell() + n > self.good:
            raise OSError(5, "Input/output error")
        return super().read(n)


@pytest.mark.parametrize("extension", TOLERANCE)
@pytest.mark.parametrize("good", [0.0, 0.5])
def test_a_failing_disk_is_not_the_end_of_the_file(tmp_path, tone, capfd, extension, good):
    path = tmp_path / f"song.{extension}"
    write(path, tone(8.0, 22050), 22050)
    data = path.read_bytes()
    with pytest.raises(InputError, match=r"^song cannot be read \(Input/output error\)$"):
        read(FailingDisk(data, int(good * len(data))), name="song")
    assert capfd.readouterr() == ("", "")  # no trace from inside a callback


def wav_header(channels=1, sample_rate=22050, frames=1000) -> bytes:
    """A wav of 16 bits and silence, whatever it claims of itself."""
    data = bytes(frames * channels * 2)
    numbers = (16, 1, channels, sample_rate, sample_rate * channels * 2, channels * 2, 16)
    form = b"WAVEfmt " + struct.pack("<IHHIIHH", *numbers) + b"data" + struct.pack("<I", len(data))
    return b"RIFF" + struct.pack("<I", len(form) + len(data)) + form + data


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"channels": 17}, "17 channels, more than 16: mix it down"),
        ({"channels": 1000}, "1000 channels"),
        ({"sample_rate": 1}, "sample rate of 1 Hz, not 8000 to 384000"),
        ({"sample_rate": 7999}, "sample rate of 7999 Hz"),
        ({"sample_rate": 2**31 - 1}, "sample rate of 2147483647 Hz"),
    ],
)
def test_headers_of_no_music_are_refused_before_decoding(tmp_path, claims, message):
    (tmp_path / "bomb.wav").write_bytes(wav_header(**claims))
    assert message in failure(tmp_path / "bomb.wav")
    with pytest.raises(InputError, match=message):
        probe(tmp_path / "bomb.wav")


@pytest.mark.parametrize(
    "claims", [{"channels": 16}, {"sample_rate": 8000}, {"sample_rate": 384_000}]
)
def test_the_widest_music_is_read(claims):
    file = io.BytesIO(wav_header(**claims))
    assert read(file)[0].shape == (1000, claims.get("channels", 1))


@pytest.mark.parametrize("extension", TOLERANCE)
def test_too_long_is_refused_from_the_header(tmp_path, tone, extension):
    path = tmp_path / f"song.{extension}"
    write(path, tone(1.0, 22050), 22050)
    assert len(read(path, max_seconds=1.0)[0]) == 22050
    with pytest.raises(InputError, match=r"song\.\w+ is longer than 0\.015 minutes: cut it"):
        probe(path, max_seconds=0.9)
