"""Spectrograms: what is loud is opaque, at the height of its pitch."""

import io

import numpy as np
from PIL import Image

from gmsdi_jax.report.spectrogram import BANDS, WIDEST, mel_power, png

RATE = 22050


def opacity(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGBA"))[..., 3]


def tone(hertz: float, seconds: float = 2.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def test_a_high_tone_stands_above_a_low_one():
    rows = []
    for hertz in (100, 1000, 8000):
        power = mel_power(tone(hertz), RATE)
        rows.append(opacity(png(power, power.max(), (1, 2, 3))).sum(1).argmax())
    assert rows == sorted(rows, reverse=True)
    assert rows[0] > 0.9 * BANDS
    assert rows[2] < 0.25 * BANDS


def test_the_colour_is_the_stems_and_silence_is_clear():
    power = mel_power(tone(440), RATE)
    picture = Image.open(io.BytesIO(png(power, power.max(), (79, 134, 247)))).convert("RGBA")
    pixels = np.asarray(picture).reshape(-1, 4)
    assert set(map(tuple, pixels[:, :3])) == {(79, 134, 247)}
    assert pixels[:, 3].max() == 255
    assert not opacity(png(mel_power(0 * tone(440), RATE), power.max(), (1, 2, 3))).any()


def test_a_quieter_sound_is_fainter_on_the_mixtures_scale():
    power = mel_power(tone(440), RATE)
    loud, quiet = (opacity(png(p, power.max(), (1, 2, 3))).max() for p in (power, power / 1e4))
    assert 0 < quiet < loud == 255


def test_a_long_song_is_no_wider_than_a_screen():
    assert mel_power(np.zeros(600 * RATE, np.float32), RATE).shape[1] <= WIDEST + 1
