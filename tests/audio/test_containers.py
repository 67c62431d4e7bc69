"""What a file says of itself: whole ones are taken, and one flipped bit is told where it can be."""

import io

import numpy as np
import pytest
import soundfile as sf
from layouts.archives import audio_bytes

from gmsdi_jax.audio import read
from gmsdi_jax.audio.containers import examine
from gmsdi_jax.audio.mp3 import id3_size
from gmsdi_jax.errors import InputError

FORMATS = ("WAV", "AIFF", "FLAC", "OGG", "MP3")


def damage(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        read(io.BytesIO(data), name="song")
    assert str(caught.value).startswith("song ")
    return str(caught.value)


def flipped(data: bytes, byte: int, bit: int = 0) -> bytes:
    return data[:byte] + bytes([data[byte] ^ 1 << bit]) + data[byte + 1 :]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("rate", [8000, 22050, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_whole_files_are_whole(format, rate, channels):
    data = audio_bytes(format=format, sample_rate=rate, channels=channels)
    assert examine(io.BytesIO(data)).problem == ""
    assert examine(io.BytesIO(data)).missing == 0
    assert len(read(io.BytesIO(data))[0]) == 2 * rate


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_the_checksum_of_a_flac_is_that_of_its_samples(subtype):
    file = io.BytesIO()
    audio = np.random.default_rng(0).uniform(-1, 1, (3000, 2))
    sf.write(file, audio, 22050, format="FLAC", subtype=subtype)
    assert examine(file).flac_sum
    assert len(read(file)[0]) == 3000
    assert "checksum" in damage(flipped(file.getvalue(), 26))  # the first byte of the MD5
    unknown = file.getvalue()[:26] + bytes(16) + file.getvalue()[42:]
    assert len(read(io.BytesIO(unknown))[0]) == 3000


def test_a_flac_with_another_total_or_rate_in_its_header():
    data = audio_bytes(format="FLAC")
    assert "checksum" in damage(flipped(data, 24, 5))  # fewer samples than there are
    assert "its header says 21026 Hz, its frames 22050 Hz" in damage(flipped(data, 19, 6))


def test_any_flipped_bit_of_an_ogg_is_told():
    data = audio_bytes(format="OGG")
    rng = np.random.default_rng(0)
    for byte in rng.integers(len(data), size=50):
        damage(flipped(data, int(byte), int(rng.integers(8))))


def test_an_ogg_without_a_page_or_its_last():
    data = audio_bytes(format="OGG")
    starts = [n for n in range(len(data)) if data.startswith(b"OggS", n)]
    assert "a page is missing" in damage(data[: starts[-2]] + data[starts[-1] :])
    assert "its end is missing" in damage(data[: starts[-1]])
    assert len(read(io.BytesIO(data + b"TAG" + bytes(125)))[0]) == 44100


def tagged(data: bytes) -> bytes:
    return b"ID3\x04\x00\x00" + bytes([0, 0, 1, 0]) + bytes(128) + data


@pytest.mark.parametrize("format", ["FLAC", "MP3"])
def test_a_tag_stands_before_the_audio(format):
    data = tagged(audio_bytes(format=format))
    assert id3_size(data[:10]) == 138
    found = examine(io.BytesIO(data))
    assert found.mp3 if format == "MP3" else found.flac_sum
    assert len(read(io.BytesIO(data))[0]) == 44100


def test_frames_of_an_mp3_are_counted():
    data = audio_bytes(format="MP3")
    mp3 = examine(io.BytesIO(data)).mp3
    assert mp3
    assert mp3.samples == mp3.counted
    assert 0 <= mp3.samples - 44100 < 3 * 1152
    assert examine(io.BytesIO(data + b"TAG" + bytes(125))).problem == ""
    middle = len(data) // 2
    assert "are no mp3" in damage(data[:middle] + bytes(300) + data[middle + 300 :])
    assert "its last frame is cut" in damage(data[:-1])
    assert "its end is missing" in damage(data[:middle] + bytes(len(data) - middle))


def test_an_mp3_of_variable_bit_rate_that_does_not_count_its_frames():
    data = audio_bytes(format="MP3")
    place = max(data.find(b"Info"), data.find(b"Xing"))
    assert 0 < place < 50
    assert "does not say how long" in damage(flipped(data, 1, 4))  # no frame begins there any more


@pytest.mark.parametrize(
    ("byte", "bit", "message"),
    [
        (22, 1, "3 channels of 16 bits are not 2 bytes"),
        (24, 3, "22058 Hz of 2 bytes are not 44100 bytes a second"),
        (34, 3, "1 channels of 24 bits are not 2 bytes"),
        (41, 4, "more behind its samples"),
        (43, 4, "truncated"),
    ],
)
def test_a_wav_that_contradicts_itself(byte, bit, message):
    data = audio_bytes(format="WAV")
    assert data[36:40] == b"data"
    assert message in damage(flipped(data, byte, bit))


def test_samples_beyond_all_sense():
    for value in (np.nan, np.inf, 1e20):
        file = io.BytesIO()
        audio = np.zeros((100, 1), np.float32)
        audio[50] = value
        sf.write(file, audio, 8000, format="WAV", subtype="FLOAT")
        assert "absurdly large samples, the first at 0.006 s" in damage(file.getvalue())
