"""The composer and arranger: a seed becomes a multitrack song with varied label sets.

A separator that is told which classes sound can only learn from the label when the label varies.
Real songs of four instruments play them all most of the time, so the arranger draws the set of
heard classes anew for each block of two or four bars: on average about 40 % of the classes are
mute, every non-empty set of classes occurs, and a set lasts long enough that most short windows
see only one of them.

    rng -> song (harmony) -> players (notes of every bar) -> arrangement (mute) -> humanise

Some tracks carry the oddities of the real data set on purpose, because they break loaders: two
stems of one class, a class outside the four, a missing class, a stem that has MIDI but no audio,
and flags that deny audio that is there. `draw_oddities` lists how often. One seed gives one
composition, down to the bytes of its MIDI files.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_pipelines.minislakh import players
from data_pipelines.minislakh.harmony import BEATS_PER_BAR, Note, Song, draw_song

COMPOSER_VERSION = 1  # raise it whenever the same seed would give other notes
CLASSES = ("Bass", "Drums", "Guitar", "Piano")
PROGRAMS: dict[str, tuple[int, ...]] = {
    "Bass": (32, 33, 34, 35, 36, 37, 38, 39),
    "Drums": (0, 8, 16, 24, 25, 32, 40),  # kits of bank 128
    "Guitar": (24, 25, 26, 27, 28, 29, 30),
    "Piano": (0, 1, 2, 3, 4, 5),
    "Organ": (16, 17, 18, 19),
    "Strings": (48, 49, 50, 51),
    "Sound Effects": (122,),
}
UNSEEN: dict[str, tuple[int, ...]] = {
    "Bass": (35, 38),  # fretless, a synthesizer
    "Drums": (25, 32),  # TR-808, jazz; bank 128
    "Guitar": (26, 29),  # jazz, overdriven
    "Piano": (3, 5),  # honky-tonk, electric with FM
}
"""Programs that a MiniSlakh with unseen timbres keeps for a part of its test split."""
Programs = Mapping[str, tuple[int, ...]]
PLAYERS: dict[str, players.Player] = {
    "Bass": players.bass,
    "Drums": players.drums,
    "Guitar": players.guitar,
    "Piano": players.piano,
}
TAIL = 1.0  # seconds at the end of a track in which nothing starts and releases fade
SHORTEST = 0.04  # beats; what the arranger cuts shorter than this is dropped
SET_SIZES = (0.22, 0.33, 0.25, 0.20)  # probability of 1, 2, 3, 4 classes in a block
FAST = 110.0  # beats per minute from which blocks always last four bars
DRUM_RING = 0.25  # seconds a drum note is counted as sounding, however short its MIDI note is


@dataclass(frozen=True)
class Part:
    """One stem: its Slakh class, General MIDI program (a kit number for drums) and heard notes.

    A part with `rendered` False has MIDI only, as the stems that Slakh had no plugin for.
    """

    inst_class: str
    program: int
    notes: tuple[Note, ...]
    rendered: bool = True


@dataclass(frozen=True)
class Oddities:
    """What is deliberately unusual about a track."""

    doubled: str | None  # a class with two stems
    missing: str | None  # a class that never plays
    extra: str | None  # a rendered class outside the four
    unrendered: bool  # a stem with MIDI and no audio
    false_flags: bool  # audio_rendered and midi_saved say false although the files exist


@dataclass(frozen=True)
class Composition:
    """A whole track: its parts in the (shuffled) order of the stems, and how long it lasts."""

    song: Song
    seconds: float
    parts: tuple[Part, ...]
    oddities: Oddities


def draw_oddities(rng: np.random.Generator) -> Oddities:
    """The oddities of one track: each is drawn on its own, with the probability in the code."""
    doubled = str(rng.choice(["Guitar", "Piano"])) if rng.random() < 0.20 else None
    missing = str(rng.choice(CLASSES)) if rng.random() < 0.10 else None
    extra = str(rng.choice(["Organ", "Strings"])) if rng.random() < 0.15 else None
    return Oddities(
        doubled=None if doubled == missing else doubled,
        missing=missing,
        extra=extra,
        unrendered=bool(rng.random() < 0.15),
        false_flags=bool(rng.random() < 0.10),
    )


def arrange(
    song: Song, classes: Sequence[str], rng: np.random.Generator
) -> dict[str, tuple[bool, ...]]:
    """For each class, whether it is heard in each bar.

    A set of classes lasts two or four bars, always four in fast songs, so at least 4.4 seconds.
    """
    bars, lengths = song.bars, ((4,) if song.bpm >= FAST else (2, 4))
    heard: dict[str, list[bool]] = {name: [] for name in classes}
    previous: frozenset[str] = frozenset()
    sizes = np.array(SET_SIZES[: len(classes)])
    bar = 0
    while bar < bars:
        length = min(int(rng.choice(lengths)), bars - bar)
        chosen = previous
        while chosen == previous:
            size = 1 + int(rng.choice(len(sizes), p=sizes / sizes.sum()))
            chosen = frozenset(str(c) for c in rng.choice(list(classes), size, replace=False))
        for name in classes:
            heard[name] += [name in chosen] * length
        previous, bar = chosen, bar + length
    return {name: tuple(flags) for name, flags in heard.items()}


def _runs(heard: Sequence[bool]) -> list[tuple[float, float]]:
    """The beats (start, end) of each unbroken run of heard bars."""
    edges = np.flatnonzero(np.diff([False, *heard, False])) * float(BEATS_PER_BAR)
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def mute(notes: Sequence[Note], heard: Sequence[bool], end: float) -> list[Note]:
    """The notes that start in a heard bar before beat `end`, cut where their class falls silent."""
    kept = []
    for run_start, run_end in _runs(heard):
        stop = min(run_end, end)
        for note in notes:
            length = min(note.length, stop - note.start)
            if note.start >= run_start and length >= SHORTEST:
                kept.append(Note(note.start, length, note.pitch, note.velocity))
    return kept


def humanise(
    notes: Sequence[Note], heard: Sequence[bool], song: Song, end: float, rng: np.random.Generator
) -> tuple[Note, ...]:
    """Off-beat eighths swing, and starts wander by about 8 thousandths of a beat.

    A note never leaves the run of bars in which its class is heard.
    """
    runs = _runs(heard)
    moved = []
    for note in notes:
        run_start, run_end = next(run for run in runs if run[0] <= note.start < run[1])
        swing = song.swing if abs(note.start % 1 - 0.5) < 1e-6 else 0.0
        stop = min(run_end, end)
        start = float(np.clip(note.start + swing + rng.normal(0, 0.008), run_start, stop - 0.03))
        moved.append(Note(start, min(note.length, stop - start), note.pitch, note.velocity))
    return tuple(sorted(moved, key=lambda n: (n.start, n.pitch)))


def _part(
    inst_class: str,
    heard: Sequence[bool],
    song: Song,
    end: float,
    rng: np.random.Generator,
    programs: Programs,
    rendered: bool = True,
) -> Part:
    program = int(rng.choice(programs[inst_class]))
    play = PLAYERS.get(inst_class, players.pad)
    notes = mute(play(song, program, rng), heard, end)
    return Part(inst_class, program, humanise(notes, heard, song, end, rng), rendered)


def without_unseen() -> Programs:
    """`PROGRAMS` without those of `UNSEEN`."""
    kept = {name: set(some) - set(UNSEEN.get(name, ())) for name, some in PROGRAMS.items()}
    return {name: tuple(sorted(some)) for name, some in kept.items()}


def compose(
    seed: Sequence[int] | int, seconds: float, programs: Programs = PROGRAMS
) -> Composition:
    """The composition of a seed; the last `TAIL` seconds hold no notes, only their releases.

    Args:
        seed: of everything that is drawn.
        seconds: length of the track.
        programs: per class of instruments, the programs that may play it.
    """
    rng = np.random.default_rng(seed)
    music = seconds - TAIL
    song = draw_song(rng, music)
    end = music * song.bpm / 60
    oddities = draw_oddities(rng)
    classes = [name for name in CLASSES if name != oddities.missing]
    heard = arrange(song, classes, rng)
    parts = [_part(name, heard[name], song, end, rng, programs) for name in classes]
    if oddities.doubled:
        # The second stem plays with the first or rests on its own, never where its class is mute.
        alone = [flag and bool(rng.random() < 0.7) for flag in heard[oddities.doubled]]
        parts.append(_part(oddities.doubled, alone, song, end, rng, programs))
    others = [(oddities.extra, True)] if oddities.extra else []
    others += [("Sound Effects", False)] if oddities.unrendered else []
    for name, rendered in others:
        sparse = np.repeat(rng.random((song.bars + 3) // 4) < 0.4, 4)[: song.bars].tolist()
        parts.append(_part(name, sparse, song, end, rng, programs, rendered))
    # Slakh promises no order of the stems.
    order = rng.permutation(len(parts))
    return Composition(song, seconds, tuple(parts[i] for i in order if parts[i].notes), oddities)


def label_histogram(
    composition: Composition, window: float = 1.5, hop: float = 0.5
) -> dict[str, float]:
    """The fraction of windows (seconds) per set of classes, keyed "Bass+Piano", "" for none.

    A class is in a window when one of its notes overlaps it by at least 50 ms.
    """
    spans = {name: _seconds_heard(composition, name) for name in CLASSES}
    starts = np.arange(0.0, max(composition.seconds - TAIL - window, 0.0) + 1e-9, hop)
    counts: Counter[str] = Counter()
    for start in starts:
        inside = [
            name
            for name, (on, off) in spans.items()
            if np.any(np.minimum(off, start + window) - np.maximum(on, start) >= 0.05)
        ]
        counts["+".join(inside)] += 1
    return {key: count / len(starts) for key, count in sorted(counts.items())}


def _seconds_heard(composition: Composition, inst_class: str) -> tuple[np.ndarray, np.ndarray]:
    """Start and end in seconds of every note of a class."""
    beat = 60 / composition.song.bpm
    notes = [
        n for p in composition.parts if p.inst_class == inst_class and p.rendered for n in p.notes
    ]
    start = np.array([n.start * beat for n in notes])
    shortest = DRUM_RING if inst_class == "Drums" else 0.0
    return start, start + np.array([max(n.length * beat, shortest) for n in notes])
