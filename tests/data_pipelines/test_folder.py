"""Plain folders: what is found, which labels it gets, and which split."""

import os
import pickle
import unicodedata

import numpy as np
import pytest
from layouts import folder
from layouts.archives import audio_bytes, webdataset
from layouts.folder import FILES

from data_pipelines.folder import SHARES, find_tracks, plans, split_of
from data_pipelines.label_table import read_table
from gmsdi_jax.errors import ConfigError, InputError

ALL = {"train": 1.0}
AUDIO = audio_bytes(300.0, 0.5)


@pytest.fixture
def source(tmp_path):
    return folder.tree(tmp_path / "songs")


def labels(made):
    return {track.name: track.labels for plan in made.values() for track in plan.sources}


def failures(made):
    found = {}
    for plan in made.values():
        for track in plan.sources:
            try:
                track.read(22050)
            except InputError as error:
                found[track.name] = str(error)
    assert not any("\n" in reason for reason in found.values())
    return found


def test_all_formats_are_found_at_any_depth_and_read(source):
    made = plans(source, labels="clap", shares=ALL)
    plan = made["train"]
    assert labels(made) == dict.fromkeys(sorted(FILES), ())
    assert (plan.labels, plan.presence, plan.missing) == ((), "track", ())
    for track in pickle.loads(pickle.dumps(plan.sources)):
        stems = track.read(22050).stems
        assert stems.shape == (1, 22050)
        expected = 200 + 50 * list(FILES).index(track.name)
        assert np.argmax(np.abs(np.fft.rfft(stems[0]))) == expected


def test_labels_from_folders(source):
    made = plans(source, labels="from-folders", shares=ALL)
    assert labels(made) == {
        "fifth.FLAC": (),
        "jazz/fourth.mp3": ("jazz",),
        "jazz/third.ogg": ("jazz",),
        "rock/first.wav": ("rock",),
        "rock/live/second.flac": ("rock", "live"),
    }
    assert made["train"].labels == ("jazz", "live", "rock")


@pytest.mark.parametrize("place", ["beside", "named"])
def test_labels_from_a_table(source, tmp_path, place):
    named = tmp_path / "mine.csv" if place == "named" else None
    folder.table(named or source / "labels.csv")
    made = plans(source, labels="csv", csv=named, shares=ALL)
    assert labels(made) == FILES
    assert made["train"].labels == ("guitar", "jazz", "piano", "rock")


def test_files_and_table_that_differ_are_named(source):
    table = {name: own for name, own in FILES.items() if "jazz" not in name}
    folder.table(source / "labels.csv", {**table, "gone.wav": ("rock",), "a/gone.wav": ()})
    made = plans(source, labels="csv", shares=ALL)
    assert list(labels(made)) == ["fifth.FLAC", "rock/first.wav", "rock/live/second.flac"]
    assert made["train"].missing == ("a/gone.wav", "gone.wav")
    assert (
        "2 files that labels.csv does not name left out (jazz/fourth.mp3, jazz/third.ogg)"
        in made["train"].arrangement
    )


def test_splits_follow_from_names_and_not_from_neighbours(source):
    names = [f"{n}.wav" for n in range(2000)]
    where = {name: split_of(name, SHARES) for name in names}
    share = sum(split == "validation" for split in where.values()) / 2000
    assert share == pytest.approx(0.1, abs=3 * np.sqrt(0.09 / 2000))
    # Known once and for all: a folder prepared later must not move a file.
    assert [n for n in range(40) if where[f"{n}.wav"] == "validation"] == [2, 10, 19, 27]
    made = plans(source, labels="clap", shares={"train": 0.5, "test": 0.5})
    before = {t.name: plan.split for plan in made.values() for t in plan.sources}
    folder.tree(source, [*FILES, *(f"new/{n}.wav" for n in range(6))], seconds=0.1)
    made = plans(source, labels="clap", shares={"train": 0.5, "test": 0.5})
    after = {t.name: plan.split for plan in made.values() for t in plan.sources}
    assert {name: after[name] for name in before} == before
    assert len(after) == 11


def test_a_split_without_files_is_not_made_and_its_missing_are_told(tmp_path):
    folder.tree(tmp_path, ["0.wav"], seconds=0.1)
    folder.table(tmp_path / "labels.csv", {"0.wav": ("a",), "2.wav": ("b",), "1.wav": ()})
    assert [split_of(f"{n}.wav", SHARES) for n in (0, 2, 1)] == ["train", "validation", "train"]
    made = plans(tmp_path, labels="csv")
    assert list(made) == ["train"]
    assert set(made["train"].missing) == {"1.wav", "2.wav"}
    assert made["train"].labels == ("a",)


def test_shards_among_the_files(source):
    samples = {"a": {"flac": AUDIO, "json": b'{"tags": ["sax"]}'}, "b": {"flac": AUDIO}}
    webdataset(source / "shards" / "000.tar", samples)
    made = plans(source, labels="from-folders", shares=ALL)
    assert labels(made)["shards/000.tar/a"] == ("sax",)
    assert "sax" in made["train"].labels
    assert plans(source, labels="clap", shares=ALL)["train"].labels == ()
    folder.table(source / "labels.csv", {"rock/first.wav": (), "shards/000.tar/b": ("tuba",)})
    made = plans(source, labels="csv", shares=ALL)
    assert labels(made) == {
        "rock/first.wav": (),
        "shards/000.tar/a": ("sax",),
        "shards/000.tar/b": ("tuba",),
    }
    assert not failures(made)


def test_shards_alone_need_no_table(tmp_path):
    webdataset(tmp_path / "a.tar", {"x": {"flac": AUDIO, "cls": b"rock"}, "y": {"txt": b"a"}})
    made = plans(tmp_path, labels="csv", shares=ALL)
    assert labels(made) == {"a.tar/x": ("rock",)}
    assert "1 samples of a.tar have no audio" in made["train"].arrangement


def test_links_are_followed_inside_only_and_nothing_is_read_twice(source, tmp_path):
    outside = folder.tree(tmp_path / "outside", ["x.wav"])
    (source / ".store").mkdir()
    (source / ".store" / "blob").write_bytes(AUDIO)
    (source / "stored.flac").symlink_to(".store/blob")
    (source / "again.wav").symlink_to("rock/first.wav")
    (source / "rock" / "loop").symlink_to("..")
    (source / "out.wav").symlink_to(outside / "x.wav")
    (source / "outdoors").symlink_to(outside)
    (source / "nowhere.mp3").symlink_to("nothing")
    (source / "notes").symlink_to("/etc/hosts")  # no audio, no matter
    made = plans(source, labels="clap", shares=ALL)
    found = failures(made)
    assert sorted(labels(made)) == sorted([*FILES, "stored.flac", *found])
    assert "is a link out of" in found["out.wav"]
    assert "is a link out of" in found["outdoors"]
    assert "is a link to nothing" in found["nowhere.mp3"]
    assert len(found) == 3


def test_what_cannot_be_read_is_named_or_counted(source):
    (source / "rock" / "cut.flac").write_bytes(AUDIO[: len(AUDIO) // 2])
    (source / "empty.mp3").touch()
    (source / "text.wav").write_text("not audio")
    (source / "shard.tar").write_text("not a tar")
    (source / "more.tar.gz").write_bytes(b"")
    for name in ("a.m4a", "b.M4A", "c.wma"):
        (source / name).touch()
    made = plans(source, labels="from-folders", shares=ALL)
    found = failures(made)
    assert sorted(found) == ["empty.mp3", "more.tar.gz", "rock/cut.flac", "shard.tar", "text.wav"]
    assert "is compressed" in found["more.tar.gz"]
    assert all(str(source) in reason for reason in found.values())
    assert "2 files of .m4a are not read; 1 files of .wma" in made["train"].arrangement


def test_names_of_any_kind(tmp_path):
    strange = [b"a\nb.flac", b"caf\xe9.flac", "o\u0308.flac".encode(), b"-rf ;.flac"]
    for name in strange:
        with open(bytes(tmp_path) + b"/" + name, "wb") as file:
            file.write(AUDIO)
    made = plans(tmp_path, labels="from-folders")
    assert sorted(labels(made)) == ["-rf ;.flac", "a\\x0ab.flac", "caf\\xdce9.flac", "ö.flac"]
    assert not failures(made)
    (tmp_path / "ö.flac").write_bytes(AUDIO)
    with pytest.raises(InputError, match=r"two files are called ö\.flac"):
        plans(tmp_path, labels="clap")


def test_the_table_may_spell_accents_either_way(tmp_path):
    (tmp_path / "é.flac").write_bytes(AUDIO)
    folder.table(tmp_path / "labels.csv", {unicodedata.normalize("NFD", "é.flac"): ("a",)})
    assert labels(plans(tmp_path, labels="csv")) == {"é.flac": ("a",)}


@pytest.mark.parametrize(
    "text",
    [
        "file,labels\na.wav,rock;jazz\nb.wav,\n",
        "\ufefffile,labels\r\na.wav, rock ; jazz;\r\n./b.wav,\r\n",
        'title,labels,file\n"x, y",rock;jazz;rock,a.wav\n,,b.wav\n\n',
    ],
)
def test_tables_as_programs_write_them(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    assert read_table(path) == {"a.wav": ("rock", "jazz"), "b.wav": ()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "line 1: its columns are '', not file,labels"),
        (b"file;labels\na;b\n", "line 1: its columns are 'file;labels'"),
        (b"name,labels\n", "line 1: its columns are 'name,labels'"),
        (b"file,labels,labels\n", "line 1: its columns"),
        (b"file,labels\na.wav,rock,jazz\n", "line 2: 3 columns, not 2: labels go apart by ;"),
        (b"file,labels\na.wav,\n\na.wav,x\n", "line 4: a.wav is there twice"),
        (b"file,labels\n../a.wav,x\n", "line 2: file '../a.wav' is no path inside"),
        (b"file,labels\n/etc/a.wav,x\n", "line 2: file '/etc/a.wav' is no path inside"),
        (b"file,labels\n,x\n", "line 2: file '' is no path inside"),
        (b'file,labels\na.wav,"x\n', "line 2: unexpected end of data"),
        (b"file,labels\na.wav,x\x00y\n", "not a word"),
        (b"file,labels\n" + b"a" * 200_000 + b",x\n", "line 2: field larger"),
        ("file,labels\né.wav,x\n".encode("latin-1"), "is not text in UTF-8"),
    ],
)
def test_a_malformed_table_is_named_by_file_and_line(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_bytes(text)
    with pytest.raises(InputError) as caught:
        read_table(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_contradictions_are_refused(source, tmp_path):
    with pytest.raises(ConfigError, match="take csv, from-folders, clap"):
        plans(source, labels="guess")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="needs no table"):
        plans(source, labels="clap", csv=tmp_path / "t.csv")
    with pytest.raises(ConfigError, match=r"labels\.csv is missing"):
        plans(source, labels="csv")
    with pytest.raises(InputError, match=r"t\.csv cannot be read"):
        plans(source, labels="csv", csv=tmp_path / "t.csv")
    for shares in ({}, {"train": 0.5}, {"train": 1.5, "test": -0.5}):
        with pytest.raises(ConfigError, match="sum to 1"):
            plans(source, labels="clap", shares=shares)
    with pytest.raises(ConfigError, match="is no name"):
        plans(source, labels="clap", shares={"../train": 1.0})
    with pytest.raises(InputError, match="is no folder"):
        plans(tmp_path / "none", labels="clap")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.m4a").touch()
    with pytest.raises(InputError, match=r"holds no audio \(1 files of \.m4a are not read\)"):
        plans(tmp_path / "empty", labels="clap")


def test_a_folder_that_cannot_be_listed_is_named(source, monkeypatch):
    listed = os.scandir

    def refuse(path):
        if str(path).endswith("jazz"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    # Tests may run as root, whom no mode bits stop.
    monkeypatch.setattr(os, "scandir", refuse)
    found = find_tracks(source).tracks
    with pytest.raises(InputError, match=r"jazz cannot be read \(Permission denied\)"):
        found["jazz"].read(22050)
    assert "rock/first.wav" in found
