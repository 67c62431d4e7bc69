"""The players: each turns a `Song` into the notes of one instrument, bar after bar.

A player first draws a style (a walking bass, a strummed guitar, ...) and keeps it for the whole
song. It plays every bar on the grid and with nominal times; the arranger in `compose` decides
later which bars are heard, and humanises timing and swing after that.
"""

from collections.abc import Callable

import numpy as np

from data_pipelines.minislakh.harmony import BEATS_PER_BAR, Note, Song, voicings

Player = Callable[[Song, int, np.random.Generator], list[Note]]

# General MIDI percussion keys.
KICK, RIM, SNARE, CLAP, CLOSED_HAT, OPEN_HAT, CRASH, RIDE = 36, 37, 38, 39, 42, 46, 49, 51
TAMBOURINE, CABASA = 54, 69
TOMS = (50, 48, 47, 45, 43, 41)
HIT = 0.2  # length of a drum note in beats; the sample decides how long it rings
STRUM = 0.02  # beats between two strings of a strummed chord


def _velocity(level: float, rng: np.random.Generator) -> int:
    return int(np.clip(round(level + rng.normal(0, 6)), 20, 127))


def _drum_pattern(rng: np.random.Generator) -> list[tuple[float, int, int]]:
    """One bar of (beat, key, level) in one of five styles."""
    style = rng.choice(["rock", "disco", "half", "funk", "latin"])
    pattern: list[tuple[float, int, int]] = []
    extra = [b for b in (0.5, 1.5, 2.5, 3.5, 0.75, 2.75, 1.75) if rng.random() < 0.25]
    if style == "disco":
        pattern += [(b, KICK, 104) for b in (0, 1, 2, 3)]
        pattern += [(b + 0.5, OPEN_HAT, 82) for b in (0, 1, 2, 3)]
        pattern += [(b, SNARE if rng.random() < 0.6 else CLAP, 96) for b in (1, 3)]
    elif style == "half":
        pattern += [(0, KICK, 104), (2, SNARE, 102)] + [(b, KICK, 88) for b in extra]
        pattern += [(b / 2, CLOSED_HAT, 74 - 14 * (b % 2)) for b in range(8)]
    elif style == "funk":
        pattern += [(0, KICK, 106), (2.5, KICK, 94)] + [(b, KICK, 84) for b in extra]
        pattern += [(1, SNARE, 100), (3, SNARE, 100), (1.75, SNARE, 48), (3.25, SNARE, 45)]
        pattern += [(b / 4, CLOSED_HAT, 76 if b % 4 == 0 else 54) for b in range(16)]
    elif style == "latin":
        pattern += [(b, KICK, 92) for b in (0, 1.5, 2, 3.5)]
        pattern += [(b, RIM, 86) for b in (0, 0.75, 1.5, 2.5, 3.25)]
        pattern += [(b / 2, CABASA if rng.random() < 0.5 else RIDE, 66) for b in range(8)]
    else:
        cymbal = CLOSED_HAT if rng.random() < 0.65 else RIDE
        pattern += [(0, KICK, 104), (2, KICK, 100)] + [(b, KICK, 86) for b in extra]
        pattern += [(1, SNARE, 100), (3, SNARE, 102)]
        pattern += [(b / 2, cymbal, 80 - 18 * (b % 2)) for b in range(8)]
    if rng.random() < 0.2:
        pattern += [(b, TAMBOURINE, 70) for b in (1, 3)]
    return pattern


def drums(song: Song, program: int, rng: np.random.Generator) -> list[Note]:
    """A kit: one pattern per section pair, a crash every eight bars, a fill every four or eight."""
    patterns = [_drum_pattern(rng), _drum_pattern(rng)]
    every = int(rng.choice([4, 8]))
    notes = []
    for bar in range(song.bars):
        start = BEATS_PER_BAR * bar
        fill = bar % every == every - 1
        for beat, key, level in patterns[(bar // 8) % 2]:
            if not (fill and beat >= 3):
                notes.append(Note(start + beat, HIT, key, _velocity(level, rng)))
        if fill:
            step = float(rng.choice([0.25, 0.5]))
            for i in range(int(1 / step)):
                tom = TOMS[min(i + int(rng.integers(3)), len(TOMS) - 1)]
                notes.append(Note(start + 3 + i * step, HIT, tom, _velocity(92, rng)))
        if bar % 8 == 0:
            notes.append(Note(start, HIT, CRASH, _velocity(96, rng)))
    return notes


def bass(song: Song, program: int, rng: np.random.Generator) -> list[Note]:
    """A bass line: roots and fifths, walking, driving eighths, syncopated, octaves or pedal."""
    style = str(rng.choice(["roots", "walk", "drive", "sync", "octave", "pedal"]))
    ghost = rng.random() < 0.3
    notes = []
    for bar in range(song.bars):
        start, root = BEATS_PER_BAR * bar, song.root(bar, 28)
        following = song.root(bar + 1, 28)
        third = root + (song.tones(bar)[1] - root) % 12
        line: list[tuple[float, float, int]] = {
            "roots": [(0, 1.4, root), (1.5, 0.4, root), (2, 1.0, root + 7), (3, 0.9, root)],
            "walk": [
                (0, 0.95, root),
                (1, 0.95, third),
                (2, 0.95, root + 7),
                (3, 0.95, following + int(rng.choice([-1, 1]))),
            ],
            "drive": [(i / 2, 0.45, root + 12 * (i == 7)) for i in range(8)],
            "sync": [
                (0, 0.7, root),
                (0.75, 0.5, root),
                (1.5, 0.9, root + 12),
                (2.5, 0.5, root + 7),
                (3.25, 0.6, root),
            ],
            "octave": [(i / 2, 0.4, root + 12 * (i % 2)) for i in range(8)],
            "pedal": [(0, 2.4, root), (2.5, 1.4, root if bar % 2 else root + 7)],
        }[style]
        if ghost and rng.random() < 0.4:
            line.append((3.75, 0.2, following))
        notes += [Note(start + b, length, p, _velocity(94, rng)) for b, length, p in line]
    return notes


def _power(song: Song, bar: int, rng: np.random.Generator) -> list[tuple[float, float, int, int]]:
    root = song.root(bar, 40)
    hits = [i / 2 for i in range(8) if i == 0 or rng.random() < 0.7]
    return [(b, 0.45, p, 88) for b in hits for p in (root, root + 7, root + 12)]


def _strum(
    chord: list[int], beats: tuple[float, ...], length: float, rng: np.random.Generator
) -> list[tuple[float, float, int, int]]:
    strings = [chord[0] - 12, *chord, chord[0] + 12]
    played = []
    for beat in beats:
        down = beat % 1 == 0
        level = 88 if down else 68
        if beat == 0 or rng.random() < 0.88:
            order = strings if down else strings[:1:-1]
            played += [(beat + i * STRUM, length, p, level) for i, p in enumerate(order)]
    return played


def _melody(
    song: Song, low: int, high: int, previous: int, rng: np.random.Generator
) -> list[tuple[float, float, int, int]]:
    """One bar of a random walk on the scale that starts near the pitch `previous`."""
    pool = song.in_scale(low, high)
    place = int(np.argmin([abs(p - previous) for p in pool]))
    line = []
    for beat in (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5):
        if rng.random() < 0.55:
            place = int(np.clip(place + rng.integers(-2, 3), 0, len(pool) - 1))
            line.append((beat, 0.5 if rng.random() < 0.7 else 0.9, pool[place], 90))
    return line


def guitar(song: Song, program: int, rng: np.random.Generator) -> list[Note]:
    """A guitar: power chords (when distorted), strumming, picking, off-beat chops or a lead."""
    distorted = program in (29, 30)
    styles = ["power", "power", "lead"] if distorted else ["strum", "pick", "chop", "lead", "strum"]
    style = str(rng.choice(styles))
    strum_beats = ((0.0, 1.0, 1.5, 2.5, 3.0, 3.5), (0.0, 1.0, 2.0, 2.5, 3.0), (0.0, 1.5, 2.0, 3.5))
    beats = strum_beats[rng.integers(3)]
    notes, previous = [], 67
    for bar, chord in enumerate(voicings(song, 50, 68)):
        start = BEATS_PER_BAR * bar
        if style == "power":
            played = _power(song, bar, rng)
        elif style == "strum":
            played = _strum(chord, beats, 0.75, rng)
        elif style == "chop":
            played = [(b + 0.5, 0.22, p, 82) for b in range(4) for p in chord]
        elif style == "pick":
            order = [*chord, chord[0] + 12, *chord[::-1]]
            played = [(i / 2, 1.2, order[i % len(order)], 82) for i in range(8)]
        else:
            played = _melody(song, 57, 79, previous, rng)
            previous = played[-1][2] if played else previous
        notes += [Note(start + b, length, p, _velocity(v, rng)) for b, length, p, v in played]
    return notes


def piano(song: Song, program: int, rng: np.random.Generator) -> list[Note]:
    """A keyboard: sustained, comped, block or broken chords; some with left hand or melody."""
    style = str(rng.choice(["pad", "comp", "block", "broken", "boogie"]))
    left_hand, with_melody = rng.random() < 0.4, rng.random() < 0.45
    hits = {
        "pad": [(0.0, 3.9)],
        "comp": [(0.0, 0.8), (1.5, 0.4), (2.5, 0.8)],
        "block": [(0.0, 0.9), (1.0, 0.9), (2.0, 0.9), (3.0, 0.9)],
        "boogie": [(0.5, 0.3), (1.5, 0.3), (2.5, 0.3), (3.5, 0.3)],
    }
    notes, previous = [], 79
    for bar, chord in enumerate(voicings(song, 55, 74)):
        start = BEATS_PER_BAR * bar
        if style == "broken":
            order = [*chord, *chord[-2:0:-1]]
            played = [(i / 2, 0.9, order[i % len(order)], 80) for i in range(8)]
        else:
            played = [(b, length, p, 78) for b, length in hits[style] for p in chord]
        if left_hand:
            root = song.root(bar, 41)
            played += [(0, 1.8, root, 80), (2, 1.8, root + 7, 74)]
        if with_melody and (bar // 4) % 2:
            line = _melody(song, 72, 91, previous, rng)
            previous = line[-1][2] if line else previous
            played += line
        notes += [Note(start + b, length, p, _velocity(v, rng)) for b, length, p, v in played]
    return notes


def pad(song: Song, program: int, rng: np.random.Generator) -> list[Note]:
    """A sustained chord per bar: organ, strings and other instruments outside the four classes."""
    return [
        Note(BEATS_PER_BAR * bar, 3.95, pitch, _velocity(68, rng))
        for bar, chord in enumerate(voicings(song, 55, 74))
        for pitch in chord
    ]
