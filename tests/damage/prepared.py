"""Damage to prepared data: manifests, shards, levels and embeddings."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from damage import edits
from damage.case import Case
from damage.edits import Edit, at, become, cut, flip, hole, put, sub
from gmsdi_jax.data import open_split, write_embeddings

MANIFEST, LEVELS = "train/manifest.json", "train/levels.npy"
WINDOW = 2048
FOLDER = "train/embeddings/means"


def shard(number: int, split: str = "train") -> str:
    """Name of a shard."""
    return f"{split}/shard-{number:05d}-of-{4 if split == 'train' else 1:05d}.array_record"


def embed(out: Path) -> None:
    """Embeddings that are as simple as can be, beside the first split."""
    split = open_split(out / "train")
    write_embeddings(split, "means", WINDOW, "digest", lambda audio: audio[:, :2])


def _changed(change: Callable[[dict[str, Any]], object], name: str = MANIFEST) -> Edit:
    """Changes the values of a JSON file."""

    def edit(root: Path) -> None:
        values = json.loads((root / name).read_text())
        change(values)
        (root / name).write_text(json.dumps(values))

    return edit


def _manifest(damage: str, do: Edit, *says: str, code: int = 3) -> Case:
    return Case("manifest", damage, do, (MANIFEST, "prepare" if code == 4 else "delete", *says),
                code=code)  # fmt: skip


def _value(damage: str, says: str, *keys: str | int, value: Any) -> Case:
    """One value of the manifest is another."""

    def change(values: Any) -> None:
        for key in keys[:-1]:
            values = values[key]
        values[keys[-1]] = value

    return _manifest(damage, _changed(change), says)


def _huge(values: dict[str, Any]) -> None:
    """A manifest that agrees with itself on a million million records."""
    more = 10**12
    values["tracks"][-1]["length"] += more * values["settings"]["chunk"]
    for shards in (values, values["shards"][-1], values["levels"]):
        shards["records"] += more


MANIFESTS = [
    _manifest("empty", at(MANIFEST, become(b"")), "is damaged"),
    _manifest("cut", at(MANIFEST, cut(0.5)), "is damaged"),
    _manifest("bytes", at(MANIFEST, become(bytes(range(256)))), "is damaged"),
    _manifest("a web page", at(MANIFEST, become(edits.HTML)), "is damaged"),
    _manifest("a list", at(MANIFEST, become("[]")), "is not of format 2"),
    _manifest("nested without end", at(MANIFEST, become("[" * 10**5)), "is damaged"),
    _manifest("a number of 10000 digits", at(MANIFEST, become("1" * 10**4)), "is damaged"),
    _manifest("gone", at(MANIFEST, edits.vanish), "is missing", code=4),
    _manifest("a folder of its name", at(MANIFEST, edits.folder), "is missing", code=4),
    _manifest("a pipe of its name", at(MANIFEST, edits.pipe), "is missing", code=4),
    _value("another format", "is not of format 2", "format", value=99),
    _value("a level that is text", "sigma_data is 'loud'", "sigma_data", value="loud"),
    _value("a level that is no number", "sigma_data is 'nan'", "sigma_data", value=float("nan")),
    _value("label sets that are a list", "is damaged", "label_sets", value=[1]),
    _value("damaged tracks that are a number", "is damaged", "damaged", value=3),
    _value("labels that are numbers", "labels is", "settings", "labels", value=[1, 2, 3, 4]),
    _value("a label twice", "named twice", "settings", "labels", value=["Bass"] * 4),
    _value("a rate that is text", "is damaged", "settings", "sample_rate", value="fast"),
    _value("no rate", "must be positive", "settings", "sample_rate", value=0),
    _value("an unknown setting", "unexpected keyword", "settings", "speed", value=1),
    _value("records that are a fraction", "records is '1000000000000.0'", "records", value=1e12),
    _value("more records than shards hold", "records", "records", value=10**12),
    _value("a track of negative length", "length is '-5'", "tracks", 0, "length", value=-5),
    _value("a track without a place", "begins at 7, not 3", "tracks", 1, "first", value=7),
    _value("a track of foreign labels", "labels", "tracks", 0, "labels", value=["Kazoo"]),
    _value("a shard elsewhere", "no file of this folder", "shards", 0, "file", value="../x"),
    _value("an absolute shard", "no file of this folder", "shards", 0, "file", value="/etc/passwd"),
    _value("zeros in a shard's name", "no file of this folder", "shards", 0, "file", value="a\0b"),
    _value("a shard twice", "named twice", "shards", 1, "file", value=shard(0)[6:]),
    _value("a shard without a checksum", "sha256 is 'None'", "shards", 0, "sha256", value=None),
    _value("a split elsewhere", "is no name of a split", "split", value="../../evil"),
    Case("manifest", "a million million records", _changed(_huge),
         ("is damaged (3 of 1000000000003 records)", "delete")),
]  # fmt: skip


def _shard(damage: str, do: Edit, *says: str, number: int = 1, **rest: Any) -> Case:
    name = shard(number)
    return Case("shard", damage, at(name, do), (name, *says), **rest)


def _swap(first: str, second: str) -> Edit:
    def edit(root: Path) -> None:
        (root / first).rename(root / "x")
        (root / second).rename(root / first)
        (root / "x").rename(root / second)

    return edit


def _extra(root: Path) -> None:
    shutil.copy(root / shard(0), root / "train/shard-00004-of-00004.array_record")


AGAIN = "delete the split and prepare it again"
SHARDS = [
    _shard("empty", become(b""), "damaged (0 of 3 records)", AGAIN),
    _shard("cut in the middle", cut(0.5), "damaged (0 of 3 records)", AGAIN),
    _shard("without its last byte", cut(-1), "damaged (0 of 3 records)", AGAIN),
    _shard("a web page", become(edits.HTML), "damaged (0 of 3 records)", AGAIN),
    _shard("zeros", lambda path: path.write_bytes(bytes(path.stat().st_size)), "damaged", AGAIN),
    _shard("a flipped bit of its samples", flip(20_000), "damaged", "record", AGAIN),
    _shard("a flipped bit of a header", flip(150), "damaged", "record", AGAIN),
    _shard("a hole of zeros", put(20_000, bytes(4096)), "damaged", "record", AGAIN),
    _shard("gone", edits.vanish, "is missing", AGAIN, code=4),
    _shard("a folder of its name", edits.folder, "is missing", AGAIN, code=4),
    _shard("a pipe of its name", edits.pipe, "is missing", AGAIN, code=4),
    Case("shard", "two names exchanged", _swap(shard(0), shard(1)),
         (shard(0), "damaged", AGAIN), lines=2),
    Case("shard", "that of another split", lambda root: shutil.copy(
        root / shard(0, "validation"), root / shard(0)), (shard(0), "damaged", AGAIN)),
]  # fmt: skip


def _levels(damage: str, do: Edit, *says: str, **rest: Any) -> Case:
    return Case("levels", damage, at(LEVELS, do), ("levels.npy", AGAIN, *says), **rest)


def _array(array: np.ndarray) -> Edit:
    return lambda path: np.save(path, array, allow_pickle=True)


def _other_shape(shape: str) -> Edit:
    """A header that claims another shape, of the same length."""

    def edit(path: Path) -> None:
        data = path.read_bytes()
        place = data.index(b"(12, 4, 16)")
        end = data.index(b"\n")
        text = data[:place] + shape.encode() + data[place + 11 : end].rstrip()
        path.write_bytes(text.ljust(end) + data[end:])

    return edit


LEVELSS = [
    _levels("empty", become(b""), "is damaged"),
    _levels("cut in its header", cut(50), "is damaged"),
    _levels("cut in the middle", cut(0.5), "is damaged"),
    _levels("a web page", become(edits.HTML), "is damaged"),
    _levels("an object of Python", become(pickle.dumps({1: 2})), "is damaged"),
    _levels("an array of objects", _array(np.array([{1: 2}, None])), "is damaged"),
    _levels("an open bracket in its header", sub("(12, 4, 16)", "(12, 4, 16 "), "is damaged"),
    _levels("a million million rows in its header", _other_shape("(10**12, 4, 16)"), "is damaged"),
    _levels("more rows than the file has", _other_shape("(999999999999, 4, 16)"), "is damaged"),
    _levels("rows beyond any count", _other_shape(f"({10**25}, 4, 16)"), "is damaged"),
    _levels("of another shape", _other_shape("(4, 12, 16)"), "not float32 (12, 4, 16)"),
    _levels("of another type", _array(np.zeros((12, 4, 16))), "holds float64"),
    _levels("flipped bits", hole(0.5, 64), "damaged"),
    _levels("gone", edits.vanish, "is missing", code=4),
]


def _embeddings(damage: str, do: Edit, *says: str, code: int = 3) -> Case:
    return Case("embeddings", damage, do, ("embeddings/means", "gmsdi data embed", *says),
                code=code)  # fmt: skip


def _field(damage: str, says: str, key: str, value: Any) -> Case:
    do = _changed(lambda values: values.update({key: value}), f"{FOLDER}/embeddings.json")
    return _embeddings(damage, do, says)


PARTS = [f"{FOLDER}/part-{n:05d}-of-00004.npy" for n in range(4)]
JSON = f"{FOLDER}/embeddings.json"
EMBEDDINGS = [
    _embeddings("a cut manifest", at(JSON, cut(0.5)), "is damaged"),
    _embeddings("a manifest that is a list", at(JSON, become("[]")), "is damaged"),
    _embeddings("a manifest nested without end", at(JSON, become("[" * 10**5)), "is damaged"),
    _embeddings("no manifest", at(JSON, edits.vanish), "is not complete", code=4),
    _field("a window that is text", "is damaged (window x", "window", "x"),
    _field("an encoder that is a number", "is damaged (window", "encoder", 3),
    _field("parts that are a number", "is damaged", "parts", 3),
    _field("fewer parts", "belongs to other shards", "parts", []),
    _embeddings("a flipped bit", at(PARTS[1], flip(-1)), "damaged (checksum)"),
    _embeddings("a cut part", at(PARTS[1], cut(0.5)), "damaged (checksum)"),
    _embeddings("an empty part", at(PARTS[1], become(b"")), "damaged (checksum)"),
    _embeddings("a part gone", at(PARTS[1], edits.vanish), "is not complete", code=4),
    _embeddings("two parts exchanged", _swap(PARTS[0], PARTS[1]), "damaged (checksum)"),
]

CASES = [*MANIFESTS, *SHARDS, *LEVELSS, *EMBEDDINGS]
ONLY_SEEN_BY_INSPECT = [
    Case("shard", "one too many", _extra, ("00004-of-00004", "does not belong", "remove it")),
]
