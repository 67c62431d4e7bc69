"""Samples of WebDataset shards: which files belong together, and their labels."""

import json
import tarfile

import pytest
from layouts.archives import audio_bytes, entry, tar, webdataset

from data_pipelines.label_table import clean
from data_pipelines.mixtures import Mixture
from data_pipelines.webdataset import MAX_SIDECAR, samples
from gmsdi_jax.errors import InputError

AUDIO = audio_bytes(300.0, 0.5)


def labels_of(tmp_path, **parts):
    """The labels of a sample with these sidecars."""
    shard = webdataset(tmp_path / "a.tar", {"key": {"flac": AUDIO, **parts}})
    [source], silent = samples(shard, "a.tar")
    assert (source.name, silent) == ("a.tar/key", 0)
    if isinstance(source, Mixture):
        assert source.read(22050).stems.shape == (1, 11025)
    else:
        source.read(22050)
    return source.labels


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, ()),
        ({"json": b'{"labels": ["rock", " bass "]}'}, ("rock", "bass")),
        ({"json": b'{"tags": ["rock", "rock", ""], "bpm": 3}'}, ("rock",)),
        ({"json": b'\xef\xbb\xbf{"labels": []}', "txt": b"jazz"}, ()),
        ({"json": b'{"title": "x"}', "txt": b"jazz"}, ("jazz",)),
        ({"txt": b"rock, double bass\r\nsax\n"}, ("rock", "double bass", "sax")),
        ({"txt": "synthé".encode()}, ("synthé",)),
        ({"txt": b"", "cls": b"7"}, ()),
        ({"cls": b"7\n"}, ("7",)),
        ({"cls": b"rock"}, ("rock",)),
        ({"json": b'{"labels": ["a"]}', "cls": b"b"}, ("a",)),
    ],
)
def test_labels_of_a_sample(tmp_path, parts, expected):
    assert labels_of(tmp_path, **parts) == expected


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"json": b'{"labels": ["a"'}, "Expecting"),
        ({"json": b"[" * 100_000}, "recursion"),
        ({"json": b'["a"]'}, "not an object"),
        ({"json": b'{"labels": "rock"}'}, "not a list"),
        ({"json": b'{"labels": [3]}'}, "a label is '3'"),
        ({"json": b'{"labels": ["a\\nb"]}'}, "not a word"),
        ({"json": b""}, "Expecting"),
        ({"txt": b"\xff\xfe\x00"}, "decode"),
        ({"cls": b"a\x1b[2J"}, "not a word"),
        ({"txt": b"a," * MAX_SIDECAR}, "bytes, more than"),
    ],
)
def test_labels_that_are_damaged_cost_the_sample_and_say_why(tmp_path, parts, reason):
    with pytest.raises(InputError) as caught:
        labels_of(tmp_path, **parts)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'a.tar'}: key.{next(iter(parts))} has no labels")
    assert reason in message
    assert "\n" not in message


def test_labels_are_not_read_where_none_are_wanted(tmp_path):
    shard = webdataset(tmp_path / "a.tar", {"key": {"json": b"broken", "flac": AUDIO}})
    [source], _ = samples(shard, "a", labelled=False)
    assert source.labels == ()
    assert source.read(22050).stems.any()


def test_files_are_grouped_up_to_the_first_dot_behind_the_folders(tmp_path):
    mp3 = audio_bytes(300.0, 1.0, format="MP3")
    shard = webdataset(
        tmp_path / "a.tar",
        {
            "x.y/song": {"mix.FLAC": AUDIO, "json": b'{"tags": ["a"]}'},
            "x.y/other": {"mp3": mp3},
            "README": {"md": b"about"},
            "no/audio": {"json": b"{}"},
            ".hidden": {"flac": b""},
        },
    )
    found, silent = samples(shard, "shards/a.tar")
    assert {source.name: source.labels for source in found} == {
        "shards/a.tar/x.y/song": ("a",),
        "shards/a.tar/x.y/other": (),
    }
    assert silent == 2
    assert [source.read(22050).stems.shape[1] for source in found] == [11025, 22050]


def test_what_cannot_be_used_is_a_source_that_says_why(tmp_path):
    shard = tar(
        tmp_path / "a.tar",
        [
            ("two.flac", AUDIO),
            ("two.wav", AUDIO),
            ("linked.flac", AUDIO),
            entry("linked.json", tarfile.SYMTYPE, "/etc/passwd"),
            ("../up.flac", AUDIO),
            ("good.flac", AUDIO),
            ("cut.flac", AUDIO),
        ],
    )
    shard.write_bytes(shard.read_bytes()[: shard.read_bytes().rindex(AUDIO) + 100])
    found, _ = samples(shard, "a")
    reasons = {}
    for source in found:
        try:
            source.read(22050)
        except InputError as error:
            reasons[source.name] = str(error)
    assert [source.name for source in found if source.name not in reasons] == ["a/good"]
    assert sorted(reasons) == ["a", "a/../up", "a/cut", "a/linked", "a/two"]
    assert "damaged or cut short" in reasons["a"]
    assert "points out of the tar" in reasons["a/../up"]
    assert "is cut short" in reasons["a/cut"]
    assert "linked.json is a link" in reasons["a/linked"]
    assert "two.flac and two.wav are of one sample" in reasons["a/two"]


def test_a_shard_that_is_none(tmp_path):
    (tmp_path / "a.tar").write_bytes(json.dumps({"not": "a tar"}).encode() * 100)
    [source], silent = samples(tmp_path / "a.tar", "a.tar")
    assert (source.name, silent) == ("a.tar", 0)
    [source], _ = samples(tmp_path / "none.tar", "none.tar")
    with pytest.raises(InputError, match="No such file"):
        source.read(22050)


def test_clean():
    assert clean([" a ", "b", "a", ""]) == ("a", "b")
    with pytest.raises(ValueError, match="None"):
        clean([None])
