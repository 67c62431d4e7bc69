"""Damage to plain folders: ogg, aiff and other files, the table of labels, WebDataset shards."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
from layouts import folder
from layouts.archives import audio_bytes, webdataset

from damage import edits
from damage.case import Case
from damage.edits import Edit, at, become, cut, flip, hole, sub
from damage.jamendo import header
from damage.sounds import wav, wav_with

COMMAND = ("data", "folder")
OPTIONS = ("--labels", "csv", "--shares", "100", "0", "0")
OPTIONS += ("--jobs", "1", "--chunk", "8192", "--hop", "512")
WAV, FLAC, OGG, MP3, FIFTH = folder.FILES
FROM_FOLDERS = ("--labels", "from-folders")
AIFF, SHARD = "sixth.aiff", "more/set.tar"
SAMPLES = {
    "a": {"flac": audio_bytes(500.0, 1.0), "json": b'{"labels": ["rock", "sax"]}'},
    "b": {"wav": audio_bytes(550.0, 1.0, format="WAV"), "txt": b"jazz, sax"},
    "c": {"mp3": audio_bytes(600.0, 1.0, format="MP3"), "cls": b"7"},
}


def source(root: Path) -> Path:
    """All formats in folders, a table of their labels, and a shard with labels of its own."""
    labels = {**folder.FILES, AIFF: ("jazz",)}
    folder.table(folder.tree(root, list(labels)) / "labels.csv", labels)
    (root / "more").mkdir()
    webdataset(root / SHARD, SAMPLES)
    return root


def _file(kind: str, damage: str, name: str, do: Edit, *says: str) -> Case:
    return Case(kind, damage, at(name, do), (f"skipped {name}", *says), (f"train/{name}",))


def _ogg(damage: str, do: Edit, *says: str) -> Case:
    return _file("ogg", damage, OGG, do, *says)


def _without_page(path: Path) -> None:
    data = path.read_bytes()
    pages = [n for n in range(len(data)) if data.startswith(b"OggS", n)]
    path.write_bytes(data[: pages[-2]] + data[pages[-1] :])


def _as_wav(path: Path) -> None:
    """Another format under the same name: decoders go by what is inside."""
    samples, rate = soundfile.read(path, dtype="int16")
    soundfile.write(path, samples, rate, format="WAV")


def _out(root: Path) -> None:
    """A link beside the others that leads out of the source."""
    (root / "out.wav").symlink_to(root.parent / "outside" / "secret.txt")


OGGS = [
    _ogg("empty", become(b""), "is empty (0 bytes)"),
    _ogg("cut in its header", cut(40), "its end is missing"),
    _ogg("cut at a tenth", cut(0.1), "its end is missing"),
    _ogg("cut in the middle", cut(0.5), "its end is missing"),
    _ogg("without its last byte", cut(-1), "its end is missing"),
    _ogg("a flipped bit in its header", flip(30), "does not fit its checksum"),
    _ogg("a flipped bit of its samples", flip(0.8), "does not fit its checksum"),
    _ogg("a hole of zeros", hole(0.7, 300), "does not fit its checksum"),
    _ogg("a page less", _without_page, "a page is missing"),
    _ogg("a text", become("not audio"), "is not audio"),
    Case("ogg", "a folder of its name", at(OGG, edits.folder),
         ("1 tracks of its list are not in", OGG), (f"train/{OGG}",)),
    _ogg("a pipe of its name", edits.pipe, "is not a regular file"),
]  # fmt: skip

FILES = [
    _file("aiff", "empty", AIFF, become(b""), "is empty (0 bytes)"),
    _file("aiff", "cut in its header", AIFF, cut(20), "is not audio"),
    _file("aiff", "cut in the middle", AIFF, cut(0.5), "truncated"),
    _file("wav", "a sample of 1e38", WAV, become(wav_with(1e38)), "absurdly large"),
    _file("wav", "NaN", WAV, become(wav_with(np.nan)), "NaN"),
    _file("wav", "no samples", WAV, become(wav(np.zeros((0, 1)))), "holds no samples"),
    _file("mp3", "another mp3 in its middle", MP3, lambda path: path.write_bytes(
        path.read_bytes() * 2), "more than it says"),
    _file("mp3", "a wav header alone", MP3, become(wav()[:44]), "fourth.mp3"),
    _file("flac", "cut in the middle", FLAC, cut(0.5), "truncated"),
    Case("flac", "a wav of the same samples", at(FIFTH, _as_wav), (), code=0, lines=0),
    Case("link", "out of the source", _out, ("skipped out.wav", "is a link out of", "copy")),
    Case("link", "to nothing", lambda root: (root / "x.wav").symlink_to("nowhere.wav"),
         ("skipped x.wav", "is a link to nothing", "remove")),
    Case("link", "in a circle", lambda root: (root / "x.wav").symlink_to("x.wav"),
         ("skipped x.wav", "is a link to nothing", "remove")),
    Case("link", "to the folder above", lambda root: (root / "loop").symlink_to(".."),
         ("skipped loop", "is a link out of", "copy")),
    Case("link", "to the folder itself", lambda root: (root / "loop").symlink_to("."), (),
         code=0, lines=0),
    Case("tar", "packed twice", lambda root: (root / "x.tar.gz").write_bytes(b"\x1f\x8b"),
         ("skipped x.tar.gz", "is compressed", "pack it as a plain .tar")),
    Case("name", "line ends and colours", lambda root: (root / "a\n\x1b[31m.wav").write_text("x"),
         ("skipped a\\x0a\\x1b[31m.wav", "is not audio"), options=FROM_FOLDERS),
    Case("name", "bytes that are no text", lambda root: Path(
        os.fsdecode(os.fsencode(root) + b"/caf\xe9.wav")).write_text("x"),
         ("skipped caf\\xdce9.wav", "is not audio"), options=FROM_FOLDERS),
]  # fmt: skip


def _csv(damage: str, do: Edit, *says: str, code: int = 3) -> Case:
    return Case("csv", damage, at("labels.csv", do), ("labels.csv", *says), code=code, made=False)


def _same(damage: str, do: Edit) -> Case:
    return Case("csv", damage, at("labels.csv", do), (), code=0, lines=0)


CSVS = [
    _csv("empty", become(b""), "line 1: its columns are", "not file,labels"),
    _csv("without a column", sub("file,labels", "file,tags"), "line 1: its columns are"),
    _csv("a column twice", sub("file,labels", "file,file,labels"), "line 1: its columns are"),
    _csv("apart by semicolons", sub(",", ";", 99), "line 1: its columns are"),
    _csv("a row with a column more", sub("rock;", "rock,"), "line 2: 3 columns"),
    _csv("a row with a column less", sub(",rock;", ";rock;"), "line 2: 1 columns"),
    _csv("a file twice", sub("file,labels", f"file,labels\n{WAV},x"), f"{WAV} is there twice"),
    _csv("a path out", sub(WAV, "../first.wav"), "is no path inside the folder"),
    _csv("an absolute path", sub(WAV, "/first.wav"), "is no path inside the folder"),
    _csv("no path", sub(WAV, ""), "is no path inside the folder"),
    _csv("zeros in a label", sub("guitar", "gui\0tar"), "line 2: a label is"),
    _csv("colours in a label", sub("guitar", "\x1b[31m"), "line 2: a label is"),
    _csv("a label of a page", sub("guitar", "g" * 3000), "line 2: a label has 3000 characters"),
    _csv("a thousand labels", sub("guitar", ";".join(map(str, range(1001)))), "1002 labels"),
    _csv("a line of ten megabytes", sub("guitar", "g" * 10**7), "line 2: field larger"),
    _csv("a name of 100000 letters", sub("file,labels", "file,labels" + 2 * f"\n{'n' * 10**5},"),
         "is there twice"),
    _csv("an open quote", sub(WAV, '"' + WAV), "line"),
    _csv("a web page", become(edits.HTML), "line 1: its columns are"),
    _csv("another encoding", sub("guitar", b"gu\xeft"), "is not text in UTF-8"),
    _csv("a folder of its name", edits.folder, "cannot be read", "directory"),
    _csv("a pipe of its name", edits.pipe, "cannot be read", "a pipe"),
    _csv("gone", edits.vanish, "is missing", "--csv", code=2),
    Case("csv", "a file that is not there", at("labels.csv", sub("file,labels",
         "file,labels\ngone.wav,x")), ("1 tracks of its list are not in", "gone.wav")),
    _same("with a byte order mark", edits.with_mark),
    _same("line ends of Windows", sub("\n", "\r\n", 99)),
]  # fmt: skip

A = f"{SHARD}/a"


def _shard(damage: str, samples: Mapping[str, Mapping[str, bytes]], *says: str) -> Case:
    """Another sample a in the shard."""
    do = at(SHARD, lambda path: webdataset(path, {**SAMPLES, **samples}))
    return Case("webdataset", damage, do, (f"skipped {A}", *says), (f"train/{A}",))


def _labels(damage: str, data: bytes, *says: str, ending: str = "json") -> Case:
    parts = {"flac": SAMPLES["a"]["flac"], ending: data}
    return _shard(damage, {"a": parts}, "has no labels that can be read", *says)


def _whole_shard(damage: str, do: Edit, *says: str, lost: str = "abc") -> Case:
    tracks = tuple(f"train/{SHARD}/{key}" for key in lost)
    return Case("webdataset", damage, at(SHARD, do), (f"skipped {SHARD}", *says), tracks)


def _evil(path: Path) -> None:
    """A member in front that points out."""
    path.write_bytes(header("../../evil.wav", 3, content=b"wav") + path.read_bytes())


SHARDS = [
    _labels("a cut json", b'{"labels": ["rock"', "Expecting"),
    _labels("an empty json", b"", "Expecting"),
    _labels("a json nested without end", b"[" * 10**5, "recursion"),
    _labels("a json of a list", b'["rock"]', "not an object"),
    _labels("labels that are numbers", b'{"labels": [1, 2]}', "a label is '1'"),
    _labels("labels that are a word", b'{"labels": "rock"}', "not a list"),
    _labels("a json of two megabytes", b" " * 2 * 10**6, "bytes, more than"),
    _labels("a label of a page", b'{"labels": ["' + b"g" * 3000 + b'"]}', "3000 characters"),
    _labels("a number of 10000 digits", b'{"n": ' + b"1" * 10**4 + b"}", "digits"),
    _labels("a text that is none", b"\xff\xfe\0", "decode", ending="txt"),
    _labels("a class with line ends", b"a\nb", "not a word", ending="cls"),
    _shard("two recordings in a sample", {"a": {**SAMPLES["a"], "wav": SAMPLES["b"]["wav"]}},
           "of one sample"),
    _shard("an empty flac", {"a": {"flac": b""}}, "is empty (0 bytes)"),
    _shard("a cut flac", {"a": {"flac": SAMPLES["a"]["flac"][:-9]}}, "truncated"),
    _shard("a web page as flac", {"a": {"flac": edits.HTML}}, "is not audio"),
    _whole_shard("empty", become(b""), "is no tar"),
    _whole_shard("packed", edits.gzipped, "damaged or cut short"),
    _whole_shard("cut behind its first header", cut(100), "is no tar"),
    _whole_shard("a flipped header", flip(10), "bad checksum"),
    _whole_shard("without its end mark", lambda path: path.write_bytes(
        path.read_bytes().rstrip(b"\0") + bytes(511)), "damaged or cut short", lost=""),
    _whole_shard("a way out", _evil, "points out of the tar", lost=""),
    _whole_shard("a pipe of its name", edits.pipe, "a pipe"),
]  # fmt: skip

CASES = [*OGGS, *FILES, *CSVS, *SHARDS]
