"""Notes, and what they sound like: cheap, and each class in a band of its own.

========= ======================== ====================
Bass      41 to 78 Hz, one tone    steady
Guitar    165 to 311 Hz, two tones decays in 0.3 s
Piano     659 to 1245 Hz, two      decays in 0.15 s
Organ     2637 to 4978 Hz, one     steady
Drums     noise of all frequencies decays in 0.03 s
others    as the organ
========= ======================== ====================
"""

from typing import NamedTuple

import numpy as np

LOWEST = {"Bass": 28, "Guitar": 52, "Piano": 76, "Organ": 100, "Drums": 36}
"""MIDI number of each class's lowest note; the highest is 11 above."""

_DECAY = {"Guitar": 0.3, "Piano": 0.15, "Drums": 0.03}
_TONES = {"Guitar": (1, 2), "Piano": (1, 2)}


class Note(NamedTuple):
    """One note, in seconds."""

    start: float
    seconds: float
    pitch: int
    velocity: int


def melody(name: str, seconds: float, rng: np.random.Generator) -> list[Note]:
    """Notes on a grid of 0.125 s: the class plays about half of the time, with long rests."""
    notes, time = [], 0.0
    while time + 0.25 <= seconds:
        if rng.random() < 0.2:
            time += 0.5
            continue
        length = 0.125 * int(rng.integers(1, 4))
        if time + length <= seconds:
            pitch = LOWEST.get(name, 100) + int(rng.integers(12))
            notes.append(Note(time, length, pitch, int(rng.integers(60, 120))))
        time += length
    return notes


def sound(
    name: str, notes: list[Note], seconds: float, sample_rate: int, amplitude: float = 0.1
) -> np.ndarray:
    """The notes of a class as 16-bit samples [t]; their peak is about ``amplitude``."""
    audio = np.zeros(round(seconds * sample_rate))
    noise = np.random.default_rng(7).uniform(-1, 1, len(audio))
    for note in notes:
        first = round(note.start * sample_rate)
        part = audio[first : first + round(note.seconds * sample_rate)]
        time = np.arange(len(part)) / sample_rate
        envelope = np.exp(-time / _DECAY[name]) if name in _DECAY else np.ones(len(part))
        envelope *= note.velocity / 120
        if name == "Drums":
            part += envelope * noise[: len(part)]
        else:
            frequency, tones = 440 * 2 ** ((note.pitch - 69) / 12), _TONES.get(name, (1,))
            waves = [np.sin(2 * np.pi * n * frequency * time) for n in tones]
            part += envelope * sum(waves) / len(tones)
    return np.round(32767 * amplitude * audio).astype(np.int16)


def tone(
    frequency: float, seconds: float, sample_rate: int, amplitude: float = 0.1, channels: int = 1
) -> np.ndarray:
    """A sine [t c] that a lossy codec keeps; the second channel is silent."""
    wave = amplitude * np.sin(
        2 * np.pi * frequency * np.arange(round(seconds * sample_rate)) / sample_rate
    )
    audio = np.zeros((len(wave), channels))
    audio[:, 0] = wave
    return audio
