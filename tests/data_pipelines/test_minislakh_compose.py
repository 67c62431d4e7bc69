"""The composer: same seed, same bytes; labels vary; nothing sounds where it is mute."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from data_pipelines.minislakh.compose import (
    CLASSES,
    PROGRAMS,
    TAIL,
    Composition,
    Oddities,
    Part,
    arrange,
    compose,
    humanise,
    label_histogram,
    mute,
)
from data_pipelines.minislakh.harmony import MAJOR, Note, Song, voicings
from data_pipelines.minislakh.midi import DRUM_CHANNEL, channels, midi_bytes
from data_pipelines.minislakh.track import PROGRAM_NAMES, stem_names

PLAIN = Oddities(doubled=None, missing=None, extra=None, unrendered=False, false_flags=False)


def a_song(bars: int = 4, bpm: float = 120.0, swing: float = 0.0) -> Song:
    return Song(bpm, key=0, scale=MAJOR, sevenths=False, swing=swing, chords=(0,) * bars)


def midi_hash(seed: int) -> str:
    composition = compose(seed, 20.0)
    parts = composition.parts
    return hashlib.sha256(midi_bytes(parts, stem_names(parts), composition.song.bpm)).hexdigest()


def test_a_seed_gives_the_same_midi_bytes_and_another_seed_gives_others() -> None:
    assert midi_hash(7) == midi_hash(7)
    assert midi_hash(7) != midi_hash(8)


def test_the_composer_is_the_one_of_this_composer_version() -> None:
    # When this fails because the composer was changed on purpose, raise COMPOSER_VERSION.
    assert midi_hash(2026).startswith("1042d3e0377d6bf6")


def test_one_or_two_classes_sound_in_a_fifth_of_the_windows_and_all_sets_occur() -> None:
    for window in (1.5, 6.0):
        total: Counter[str] = Counter()
        for seed in range(30):
            histogram = label_histogram(compose(seed, 40.0), window)
            assert sum(histogram.values()) == pytest.approx(1.0)
            total.update(histogram)
        few = sum(v for labels, v in total.items() if labels and labels.count("+") < 2) / 30
        assert few >= 0.2
        assert total["+".join(CLASSES)] / 30 < 0.5
        if window == 1.5:
            assert len([labels for labels in total if labels]) == 15


def test_all_classes_and_a_fair_number_of_programs_appear() -> None:
    seen: dict[str, set[int]] = {name: set() for name in PROGRAMS}
    for seed in range(60):
        for part in compose(seed, 10.0).parts:
            seen[part.inst_class].add(part.program)
            assert part.inst_class == "Drums" or part.program in PROGRAM_NAMES
    for name in CLASSES:
        assert len(seen[name]) >= 5
    assert seen["Organ"]
    assert seen["Strings"]
    assert seen["Sound Effects"]


def test_oddities_do_what_they_say() -> None:
    found: Counter[str] = Counter()
    for seed in range(150):
        composition = compose(seed, 20.0)
        names = [part.inst_class for part in composition.parts]
        odd = composition.oddities
        if odd.missing:
            found["missing"] += 1
            assert odd.missing not in names
        if odd.doubled:
            found["doubled"] += names.count(odd.doubled) == 2
        found["extra"] += bool({"Organ", "Strings"} & set(names))
        found["unrendered"] += any(not part.rendered for part in composition.parts)
        found["false_flags"] += odd.false_flags
    assert min(found[key] for key in ("missing", "doubled", "unrendered", "false_flags")) >= 3
    assert 3 <= found["extra"] <= 0.25 * 150


def test_arrange_never_falls_silent_and_keeps_a_set_for_two_or_four_bars() -> None:
    for bpm, shortest in ((80.0, 2), (140.0, 4)):
        heard = arrange(a_song(400, bpm), CLASSES, np.random.default_rng(0))
        grid = np.array([heard[name] for name in CLASSES])
        assert grid.any(axis=0).all()
        lengths = np.diff(np.flatnonzero(np.any(np.diff(grid, axis=1), axis=0)))
        assert set(lengths) <= {shortest, 4}
        assert 0.3 < 1 - grid.mean() < 0.5


def test_mute_drops_and_cuts_notes() -> None:
    notes = [Note(0.0, 1.0, 60, 90), Note(3.5, 2.0, 61, 90), Note(4.5, 1.0, 62, 90)]
    notes += [Note(8.0, 9.0, 63, 90), Note(11.99, 1.0, 64, 90)]
    kept = mute(notes, heard=(True, False, True), end=11.0)
    assert [(n.start, n.length, n.pitch) for n in kept] == [
        (0.0, 1.0, 60),
        (3.5, 0.5, 61),
        (8.0, 3.0, 63),
    ]


def test_humanise_swings_off_beats_and_never_leaves_the_heard_bars() -> None:
    rng = np.random.default_rng(0)
    notes = [Note(4.0, 0.5, p, 90) for p in range(40)]
    notes += [Note(4.5, 0.5, p, 90) for p in range(40, 80)]
    notes += [Note(7.95, 0.05, p, 90) for p in range(80, 120)]
    moved = humanise(notes, (False, True, False), a_song(3, swing=0.1), 12.0, rng)
    starts = {n.pitch: n.start for n in moved}
    assert all(n.start >= 4.0 and n.start + n.length <= 8.0 + 1e-9 for n in moved)
    assert np.mean([starts[p] for p in range(40, 80)]) == pytest.approx(4.6, abs=0.01)
    assert np.std([starts[p] for p in range(40, 80)]) == pytest.approx(0.008, rel=0.4)


def test_no_note_reaches_the_tail() -> None:
    for seed in range(10):
        composition = compose(seed, 12.0)
        beat = 60 / composition.song.bpm
        ends = [(n.start + n.length) * beat for p in composition.parts for n in p.notes]
        assert max(ends) <= 12.0 - TAIL + 1e-6


def test_label_histogram_of_a_known_piece() -> None:
    # 60 beats a minute: a beat is a second. Bass sounds in [0, 4), piano in [2, 4).
    parts = (
        Part("Bass", 33, (Note(0.0, 4.0, 40, 90),)),
        Part("Piano", 0, (Note(2.0, 2.0, 60, 90),)),
        Part("Guitar", 24, (Note(0.0, 4.0, 60, 90),), rendered=False),
        Part("Organ", 16, (Note(0.0, 4.0, 60, 90),)),
    )
    piece = Composition(a_song(1, bpm=60.0), 8.0 + TAIL, parts, PLAIN)
    histogram = label_histogram(piece, window=1.0, hop=1.0)
    assert histogram == {"": 0.5, "Bass": 0.25, "Bass+Piano": 0.25}


def test_voicings_use_the_tones_of_the_chord_within_the_range() -> None:
    song = Song(100.0, key=2, scale=MAJOR, sevenths=True, swing=0.0, chords=(0, 3, 4, 5, 1))
    for bar, chord in enumerate(voicings(song, 50, 68)):
        assert sorted(p % 12 for p in chord) == sorted(song.tones(bar))
        assert all(50 <= p <= 68 for p in chord)
    assert song.tones(0) == [2, 6, 9, 1]  # D major seventh: D F# A C#


def test_drums_have_the_percussion_channel_and_others_their_own() -> None:
    parts = [Part(name, 0, ()) for name in ["Piano"] * 9 + ["Drums", "Guitar"]]
    got = channels(parts)
    assert got[9] == DRUM_CHANNEL
    assert len(set(got)) == len(parts)
