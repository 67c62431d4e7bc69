"""Which songs were meant, and what each is called."""

from pathlib import Path

import pytest

from gmsdi_jax.cli.songs import find_songs, track_names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/one.wav", "a/two.wav"], ["one", "two"]),
        (["a/song.wav", "b/song.wav", "b/other.wav"], ["a/song", "b/song", "other"]),
        (["a/song.wav", "a/song.flac"], ["a/song", "a/song-2"]),
        (["a/Song.wav", "b/song.wav"], ["a/Song", "b/song"]),
        (["x/b/s.wav", "y/b/s.wav", "b/s-2.wav"], ["b/s", "b/s-2", "s-2"]),
        (["a/song.mix.wav"], ["song.mix"]),
    ],
)
def test_no_two_songs_have_one_name(paths, names):
    assert track_names([Path(path) for path in paths]) == names


def test_a_folder_is_searched_but_for_hidden_files_and_results(tmp_path, noise):
    wanted = [noise(tmp_path / name) for name in ("a.wav", "sub/b.flac", "sub/C.ogg")]
    noise(tmp_path / ".hidden.wav")
    noise(tmp_path / ".git/d.wav")
    noise(tmp_path / "separated/tiny/a/bass.wav")
    (tmp_path / "separated/tiny/a/gmsdi.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("no audio")
    songs, errors = find_songs([tmp_path])
    assert not errors
    assert [song.path for song in songs] == sorted(wanted)


def test_a_song_that_is_named_twice_is_taken_once(tmp_path, noise, monkeypatch):
    path = noise(tmp_path / "a.wav")
    monkeypatch.chdir(tmp_path)
    songs, errors = find_songs([path, Path("a.wav"), tmp_path])
    assert [song.track for song in songs] == ["a"]
    assert not errors


def test_what_is_no_song_is_named(tmp_path, noise):
    good = noise(tmp_path / "good.wav")
    (tmp_path / "empty").mkdir()
    songs, errors = find_songs([tmp_path / "missing.wav", good, tmp_path / "empty"])
    assert [song.path for song in songs] == [good]
    assert "missing.wav does not exist" in str(errors[0])
    assert "empty: no audio in this folder" in str(errors[1])
