"""Which audio of a folder is heard, and where it is cut."""

import numpy as np
import pytest
from generation.audio import RATE, STEMS, piece, pieces, sound
from numpy.testing import assert_allclose

from gmsdi_jax.audio import write
from gmsdi_jax.errors import ConfigError, InputError
from gmsdi_jax.generation.clips import Cut, find_clips, load, part

WHOLE = Cut(seconds=None)


def tracks(folder, what=None, **options):
    return [clip.source.track for clip in find_clips(folder, what, WHOLE, **options)]


def heard(clip):
    return part(load(clip.source), clip)


def test_loose_files(tmp_path):
    """All of them, at any depth, in order; hidden ones and what is no audio are left out."""
    for name in ("b.wav", "a.flac", "more/c.wav", ".hidden/d.wav"):
        write(tmp_path / name, np.zeros((800, 1), np.float32), RATE)
    (tmp_path / "notes.txt").write_text("no audio")
    assert tracks(tmp_path) == ["a.flac", "b.wav", "more/c.wav"]


def test_pieces_of_gmsdi(tmp_path):
    """A folder with gmsdi.json is one piece, of which the mix is heard, or a stem if asked for."""
    for seed in (0, 1):
        folder = piece(tmp_path / "tiny" / f"{seed}-bass-drums", seed, mix="mix")
        (folder / "gmsdi.json").write_text("{}")
    assert tracks(tmp_path) == tracks(tmp_path, "mix") == ["tiny/0-bass-drums", "tiny/1-bass-drums"]
    (first, _) = find_clips(tmp_path, None, WHOLE)
    assert_allclose(heard(first), sum(sound(stem, 0) for stem in STEMS), atol=1e-6)
    (bass, _) = find_clips(tmp_path, "Bass", WHOLE)
    assert_allclose(heard(bass), sound("bass", 0), atol=1e-6)


def test_songs_with_a_file_per_stem(tmp_path):
    """Without a mix, the sum of the stems cut to the shortest; a residual is no stem."""
    folder = piece(tmp_path / "song", 3)
    write(folder / "piano.wav", sound("piano", 3)[:-100, None].astype(np.float32), RATE)
    write(folder / "residual.wav", np.ones((2 * RATE, 1), np.float32), RATE)
    (clip,) = find_clips(tmp_path, "Mix", WHOLE)
    expected = sum(sound(stem, 3)[:-100] for stem in STEMS)
    assert clip.frames == len(expected)
    assert_allclose(heard(clip), expected, atol=1e-6)
    assert len(tracks(tmp_path)) == 4  # by default, each file by itself


def test_a_mix_holds_what_is_below_it(tmp_path):
    """Slakh2100's layout: the stems' folder beside mix.flac is not a second song."""
    write(tmp_path / "Track1" / "mix.flac", np.zeros((RATE, 1), np.float32), RATE)
    piece(tmp_path / "Track1" / "stems", 0)
    piece(tmp_path / "Track2", 0, mix="mixture")
    assert tracks(tmp_path, "mix") == ["Track1", "Track2"]


def test_given_stems_are_heard_with_the_generated(tmp_path):
    """Those of the song of the same path that were not generated."""
    real = pieces(tmp_path / "real", [5, 6])
    pieces(tmp_path / "made", [5], stems=("bass",))
    write(real / "song5" / "bass.wav", np.ones((2 * RATE, 1), np.float32), RATE)
    (clip,) = find_clips(tmp_path / "made", "mix", WHOLE, given=real)
    assert_allclose(heard(clip), sum(sound(stem, 5) for stem in STEMS), atol=1e-6)
    with pytest.raises(ConfigError, match="-s mix"):
        find_clips(tmp_path / "made", "bass", WHOLE, given=real)
    pieces(tmp_path / "made", [9], stems=("bass",))
    with pytest.raises(InputError, match=r"real/song9: no such folder"):
        find_clips(tmp_path / "made", "mix", WHOLE, given=real)
    pieces(tmp_path / "mixed", [5], mix="mix")
    with pytest.raises(InputError, match="holds the given stems already"):
        find_clips(tmp_path / "mixed", "mix", WHOLE, given=real)


def test_clips_follow_each_other(tmp_path):
    """Of 2 s, three of 0.6 s; a shorter file is heard whole; they are the file's own samples."""
    piece(tmp_path / "long", 0, stems=("bass",))
    piece(tmp_path / "short", 0, stems=("bass",), seconds=0.5)
    clips = find_clips(tmp_path, None, Cut(seconds=0.6))
    size = round(0.6 * RATE)
    starts = [(clip.start, clip.frames) for clip in clips]
    assert starts == [(0, size), (size, size), (2 * size, size), (0, RATE // 2)]
    assert_allclose(heard(clips[1]), sound("bass", 0)[size : 2 * size], atol=1e-6)


def test_a_draw_of_clips(tmp_path):
    """The same seed, the same clips; another, others; without repetition."""
    pieces(tmp_path, range(10), stems=("bass",), seconds=0.1)
    draws = [find_clips(tmp_path, None, Cut(0.05, 8, seed)) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert len(set(draws[0])) == 8
    assert len(find_clips(tmp_path, None, Cut(0.05, 99))) == 20


def test_what_is_no_set_of_clips(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        find_clips(tmp_path / "nowhere", None, WHOLE)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no audio below it"):
        find_clips(tmp_path / "empty", None, WHOLE)
    piece(tmp_path / "song", 0)
    with pytest.raises(InputError, match="no audio called Guitar"):
        find_clips(tmp_path, "Guitar", WHOLE)
    write(tmp_path / "song" / "bass.wav", np.zeros((8000, 1), np.float32), 8000)
    with pytest.raises(InputError, match="one rate"):
        find_clips(tmp_path, "mix", WHOLE)
    write(tmp_path / "song" / "bass.wav", np.zeros((9 * RATE, 1), np.float32), RATE)
    with pytest.raises(InputError, match=r"bass.wav: 9.0 s.*one length"):
        find_clips(tmp_path, "mix", WHOLE)
    for number in range(40):
        write(tmp_path / "loose" / f"{number}.wav", np.zeros((8, 1), np.float32), RATE)
    with pytest.raises(InputError, match="not the stems of one song"):
        find_clips(tmp_path / "loose", "mix", WHOLE)
    for values, says in (((0.0,), "seconds is 0"), ((None, 1), "clips is 1")):
        with pytest.raises(ConfigError, match=says):
            Cut(*values)
