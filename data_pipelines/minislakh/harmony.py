"""The song that all players read: tempo, key, scale and one chord per bar.

A chord is a scale degree; its tones are every second note of the scale above it. Two progressions
of four bars make the A and B sections, which alternate every eight bars. All times are in beats
(a bar has four), all pitches are MIDI numbers (60 is middle C), and every random choice comes from
the generator that the caller passes, so that one seed always gives one song.
"""

from dataclasses import dataclass

import numpy as np

BEATS_PER_BAR = 4
BARS_PER_SECTION = 8
MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
DORIAN = (0, 2, 3, 5, 7, 9, 10)
# Scale degrees, counted from 0, one per bar.
PROGRESSIONS = (
    (0, 4, 5, 3),
    (5, 3, 0, 4),
    (0, 5, 3, 4),
    (0, 3, 4, 3),
    (1, 4, 0, 0),
    (0, 2, 3, 4),
    (5, 4, 3, 4),
    (3, 0, 4, 5),
    (0, 6, 5, 4),
    (0, 3, 0, 4),
    (0, 0, 3, 4),
    (2, 5, 1, 4),
)


@dataclass(frozen=True)
class Note:
    """One note: start and length in beats, MIDI pitch, velocity 1 to 127."""

    start: float
    length: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Song:
    """What the players share.

    `swing` is how late the off-beat eighths come, in beats; `chords` has one scale degree per bar.
    """

    bpm: float
    key: int
    scale: tuple[int, ...]
    sevenths: bool
    swing: float
    chords: tuple[int, ...]

    @property
    def bars(self) -> int:
        """The number of bars."""
        return len(self.chords)

    def degree(self, degree: int) -> int:
        """Semitones of a scale degree above the C at or below the key; degrees may exceed 6."""
        octave, step = divmod(degree, len(self.scale))
        return self.key + self.scale[step] + 12 * octave

    def root(self, bar: int, lowest: int) -> int:
        """The chord's root in the octave that starts at pitch `lowest`."""
        return lowest + (self.degree(self.chords[bar % self.bars]) - lowest) % 12

    def tones(self, bar: int) -> list[int]:
        """The pitch classes (0 to 11) of the bar's chord, root first."""
        steps = (0, 2, 4, 6) if self.sevenths else (0, 2, 4)
        return [self.degree(self.chords[bar] + step) % 12 for step in steps]

    def in_scale(self, low: int, high: int) -> list[int]:
        """The pitches of the scale from `low` to `high`, both included."""
        return [p for p in range(low, high + 1) if (p - self.key) % 12 in self.scale]


def draw_song(rng: np.random.Generator, seconds: float) -> Song:
    """A song with as many whole bars as cover `seconds` seconds."""
    bpm = float(rng.integers(68, 168))
    bars = int(np.ceil(seconds * bpm / 60 / BEATS_PER_BAR))
    sections = [PROGRESSIONS[rng.integers(len(PROGRESSIONS))] for _ in range(2)]
    chords = tuple(sections[(bar // BARS_PER_SECTION) % 2][bar % 4] for bar in range(bars))
    return Song(
        bpm=bpm,
        key=int(rng.integers(12)),
        scale=(MAJOR, MAJOR, MINOR, DORIAN)[rng.integers(4)],
        sevenths=bool(rng.random() < 0.35),
        swing=float(rng.uniform(0.05, 0.16)) if rng.random() < 0.25 else 0.0,
        chords=chords,
    )


def voicings(song: Song, low: int, high: int) -> list[list[int]]:
    """One chord voicing per bar between two pitches, each as near as possible to the one before."""
    voiced: list[list[int]] = []
    targets: list[float] = [(low + high) / 2]
    for bar in range(song.bars):
        chord = []
        for i, pitch_class in enumerate(song.tones(bar)):
            near = targets[min(i, len(targets) - 1)]
            candidates = [p for p in range(low, high + 1) if p % 12 == pitch_class]
            chord.append(min(candidates, key=lambda p, near=near: abs(p - near)))
        voiced.append(sorted(chord))
        targets = [float(p) for p in voiced[-1]]
    return voiced
