"""Sample rates: streams equal one shot, nothing is shifted, lengths are exact."""

import numpy as np
import pytest
import soxr

from gmsdi_jax.audio import StreamResampler, resample

RATES = [(44100, 22050), (22050, 44100), (48000, 22050), (22050, 48000), (44100, 44100)]


def noise(frames: int, channels: int) -> np.ndarray:
    return np.random.default_rng(frames).uniform(-1, 1, (frames, channels)).astype(np.float32)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
@pytest.mark.parametrize("block", [1, 777, 4096, 10**6])
@pytest.mark.parametrize("length", [None, 2000, 9000])
def test_stream_equals_one_shot(rate_in, rate_out, block, length):
    audio = noise(3001, 2)
    stream = StreamResampler(rate_in, rate_out, 2, length)
    parts = [stream.push(audio[i : i + block]) for i in range(0, len(audio), block)]
    joined = np.concatenate([*parts, stream.push(audio[:0], last=True)])
    assert joined.dtype == np.float32
    np.testing.assert_array_equal(joined, resample(audio, rate_in, rate_out, length))


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_one_shot_equals_soxr(rate_in, rate_out):
    audio = noise(20_000, 3)
    expected = soxr.resample(audio, rate_in, rate_out, quality="HQ")
    np.testing.assert_array_equal(resample(audio, rate_in, rate_out), expected)
    cut = resample(audio, rate_in, rate_out, len(expected) - 100)
    np.testing.assert_array_equal(cut, expected[:-100])
    padded = resample(audio, rate_in, rate_out, len(expected) + 10_000)
    np.testing.assert_array_equal(padded[: len(expected)], expected)
    assert padded.shape == (len(expected) + 10_000, 3)
    assert not padded[len(expected) + 100 :].any()


def test_equal_rates_pass_through():
    audio = noise(100, 1)
    np.testing.assert_array_equal(resample(audio, 22050, 22050), audio)


def band_limited_click(frames: int, sample_rate: int, cutoff: float) -> np.ndarray:
    """A sinc in the middle, Gaussian-windowed, without energy above about `cutoff` Hz."""
    time = (np.arange(frames) - frames // 2) / sample_rate
    return np.sinc(2 * cutoff * time) * np.exp(-0.5 * (time * 200) ** 2)


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("frames", [44100, 44101, 44103])
def test_round_trip_keeps_length_and_alignment(rate, frames):
    sine = np.sin(2 * np.pi * 220 * np.arange(frames) / rate)
    audio = np.stack([sine, band_limited_click(frames, rate, 4000)], axis=1).astype(np.float32)
    back = resample(resample(audio, rate, 22050), 22050, rate, frames)
    assert back.shape == audio.shape
    edge = rate // 20
    error = np.abs(back - audio)[edge:-edge].max()
    assert 20 * np.log10(error / np.abs(audio).max()) < -60
    # A shift of one sample, which this test is for, would be seen.
    assert np.abs(np.roll(back, 1, axis=0) - audio)[edge:-edge].max() > 0.02


def test_asking_for_the_sample_that_rounding_drops_gives_sound_not_padding():
    audio = np.ones((1000, 1), np.float32)
    assert len(resample(audio, 48000, 22050)) == 459  # of 459.375
    assert abs(resample(audio, 48000, 22050, 460)[-1, 0]) > 0.3


@pytest.mark.parametrize("shape", [(10,), (10, 1), (10, 3)])
def test_wrong_shape(shape):
    with pytest.raises(ValueError, match="expected a block"):
        StreamResampler(44100, 22050, 2).push(np.zeros(shape, np.float32))


def test_nothing_follows_the_last_block():
    stream = StreamResampler(44100, 22050, 1)
    stream.push(np.zeros((10, 1), np.float32), last=True)
    with pytest.raises(ValueError, match="last block"):
        stream.push(np.zeros((10, 1), np.float32))
