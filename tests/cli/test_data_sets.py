"""``gmsdi data slakh``, ``jamendo`` and ``folder`` on small data in the real layouts."""

import numpy as np
import pytest
from layouts import folder, jamendo, slakh

from gmsdi_jax.data import open_split, read_manifest

FAST = ("--jobs", 1, "--chunk", 2**14)


@pytest.fixture(scope="module")
def redux(tmp_path_factory):
    root = tmp_path_factory.mktemp("slakh")
    return root, slakh.redux(root)


def names(split):
    return [track.name for track in read_manifest(split).tracks]


def test_class_stems_are_those_that_were_written(gmsdi, redux, tmp_path):
    """Through flags that lie, gaps in the numbers, two stems of a class and stems of no class."""
    source, written = redux
    ran = gmsdi("data", "slakh", source, tmp_path, *FAST, "--sample-rate", 44100)
    assert ran.code == 0, ran.err
    assert "as the folders are" in ran.out
    for split in ("validation", "test"):
        for track in open_split(tmp_path / split, verify=True).tracks():
            gain = next(
                t.gain for t in read_manifest(tmp_path / split).tracks if t.name == track.name
            )
            for row, name in enumerate(("Bass", "Drums", "Guitar", "Piano")):
                expected = gain * written[track.name].class_sum(name)
                np.testing.assert_allclose(track.stems[row, :, 0], expected, atol=2 / 32768)
    assert names(tmp_path / "train") == ["Track00001", "Track00002", "Track00003"]
    again = gmsdi("data", "slakh", source, tmp_path, *FAST, "--sample-rate", 44100)
    assert (again.code, again.out) == (0, ran.out)


def test_the_paper_splits_by_number_and_names_what_is_missing(gmsdi, redux, tmp_path):
    source, _ = redux
    ran = gmsdi("data", "slakh", source, tmp_path, *FAST, "--arrangement", "original")
    assert ran.code == 3
    assert "train: 1497 tracks of its list are not in" in ran.err
    assert "Track00004, Track00005" in ran.err
    assert names(tmp_path / "test") == ["Track01877", "Track01878", "Track01879"]
    assert "official list original" in read_manifest(tmp_path / "test").arrangement


def test_baby_slakh_is_flat(gmsdi, tmp_path):
    slakh.baby(tmp_path / "baby")
    ran = gmsdi("data", "slakh", tmp_path / "baby", tmp_path / "out", *FAST)
    assert ran.code == 3  # 20 of 2100 tracks, and of these two
    assert names(tmp_path / "out/train") == ["Track00001", "Track00002"]


def test_labels_by_notes_are_those_of_the_midi_files(gmsdi, redux, tmp_path):
    source, written = redux
    flags = (*FAST, "--labels", "notes", "--splits", "test", "--hop", 512)
    ran = gmsdi("data", "slakh", source, tmp_path, *flags)
    assert ran.code == 0, ran.err
    for track in open_split(tmp_path / "test").tracks():
        assert set(np.unique(track.levels)) <= {0, 1}
        for row, name in enumerate(("Bass", "Drums", "Guitar", "Piano")):
            stems = [k for k, s in written[track.name].stems.items() if s.inst_class == name]
            notes = [note for key in stems for note in written[track.name].notes.get(key, ())]
            assert track.levels[row].any() == bool(notes)


@pytest.mark.parametrize("form", ["tars", "folders"])
def test_jamendo_of_the_paper(gmsdi, tmp_path, form):
    archives, tables = jamendo.dataset(tmp_path)
    source = archives if form == "tars" else jamendo.folders(tmp_path / "folders")
    out = tmp_path / "out"
    ran = gmsdi("data", "jamendo", source, out, "--metadata", tables, *FAST)
    assert ran.code == 0, ran.err
    assert sorted(names(out / "validation")) == ["98/198", "99/199"]
    split = open_split(out / "train", verify=True)
    assert split.manifest.settings.presence == "track"
    labels = {track.name: track.labels for track in split.manifest.tracks}
    assert set(labels["00/100"]) == {"genre---rock", "instrument---guitar", "mood/theme---happy"}
    for track in split.tracks():
        number = int(track.name.split("/")[1])
        spectrum = np.abs(np.fft.rfft(track.mixture[:22050, 0]))
        assert abs(spectrum.argmax() - (200 + 10 * (number % 97))) <= 1


def test_jamendo_without_a_common_artist(gmsdi, tmp_path):
    archives, tables = jamendo.dataset(tmp_path)
    flags = ("--metadata", tables, "--split", "split-0", *FAST)
    ran = gmsdi("data", "jamendo", archives, tmp_path / "out", *flags)
    assert ran.code == 0, ran.err
    assert names(tmp_path / "out/test") == ["01/201"]
    assert "no artist in two" in ran.out


def test_your_own_audio(gmsdi, tmp_path):
    source = folder.tree(tmp_path / "songs")
    out = tmp_path / "out"
    ran = gmsdi("data", "folder", source, out, "--labels", "from-folders", *FAST)
    assert ran.code == 0, ran.err
    found = {t.name: t.labels for s in out.iterdir() for t in read_manifest(s).tracks}
    assert found["rock/live/second.flac"] == ("rock", "live")
    table = folder.table(tmp_path / "table.csv")
    flags = ("--labels", "csv", "--csv", table, "--shares", 1, 0, 0)
    ran = gmsdi("data", "folder", source, tmp_path / "csv", *flags, *FAST)
    assert ran.code == 0, ran.err
    found = {t.name: t.labels for t in read_manifest(tmp_path / "csv/train").tracks}
    assert found == {name: own for name, own in folder.FILES.items()}
    ran = gmsdi("data", "folder", source, tmp_path / "clap", "--labels", "clap", *FAST)
    assert ran.code == 0, ran.err
    assert "no labels" in ran.out
    ran = gmsdi("data", "folder", source, tmp_path / "no", "--labels", "clap", "--shares", 0, 0, 0)
    assert ran.code == 2
    assert "shares" in ran.err
