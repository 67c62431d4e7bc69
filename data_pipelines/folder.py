"""Audio as people have it: files in folders of any depth, and WebDataset shards among them.

Labels belong to whole files, and come from one of three places:

``csv``
    A table with the columns ``file`` and ``labels``: the path below ``SRC`` with slashes, and words
    apart by semicolons. Files that it does not name are left out and counted.
``from-folders``
    The names of the folders on the path: ``rock/live/song.wav`` is ``rock`` and ``live``.
``clap``
    None: whoever trains takes the sound itself, as a CLAP embedding.

Samples of shards (`data_pipelines.webdataset`) carry their own labels, unless the table names them
as ``shard.tar/key``. Hidden files and folders are skipped. A link is followed only to a file inside
``SRC`` that is not found anyway, so nothing is read twice or from elsewhere.

Which split a file is in follows from a hash of its name alone: files that are added later move
none of the others. Songs of one artist may be in both splits, which flatters measured numbers; to
keep them apart, prepare two folders.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from data_pipelines.corpus import Plan, Source
from data_pipelines.label_table import clean, read_table
from data_pipelines.mixtures import AUDIO_SUFFIXES, Mixture, Unusable
from data_pipelines.tars import printable
from data_pipelines.webdataset import samples
from gmsdi_jax.errors import ConfigError, InputError

Labels = Literal["csv", "from-folders", "clap"]
SHARES = {"train": 0.9, "validation": 0.1}
TABLE = "labels.csv"
"""The table in ``SRC`` that is taken when none is named."""

_COMPRESSED = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst")
_UNREAD = (".w64", ".caf", ".au", ".m4a", ".aac", ".wma", ".mp4", ".webm", ".ape", ".wv", ".alac")


@dataclass
class Found:
    """What a folder holds."""

    tracks: dict[str, Source] = field(default_factory=dict)
    """By name."""
    others: list[str] = field(default_factory=list)
    """Audio that is left out, with the reason."""


def plans(
    source: Path,
    *,
    labels: Labels,
    csv: Path | None = None,
    shares: Mapping[str, float] = SHARES,
) -> dict[str, Plan]:
    """One plan per split that has tracks.

    Args:
        source: the folder.
        labels: where labels come from, as above.
        csv: the table of `labels` csv; by default ``labels.csv`` in the folder.
        shares: of each split; they sum to 1.

    Raises:
        ConfigError: shares are no shares, or a table is named for other labels, or none for csv.
        InputError: the folder or the table cannot be read, or there is no audio.
    """
    _check(source, labels, csv, shares)
    found = find_tracks(source, labels)
    absent: tuple[str, ...] = ()
    if labels == "csv":
        absent = _apply_table(found, source, csv)
    if not found.tracks:
        reasons = f" ({'; '.join(found.others)})" if found.others else ""
        raise InputError(
            f"{source} holds no audio{reasons}: give a folder of wav, flac, ogg or mp3"
        )
    vocabulary = tuple(sorted({label for t in found.tracks.values() for label in t.labels}))
    parts = ", ".join(f"{share:.4g} {split}" for split, share in shares.items())
    how = "; ".join([f"by a hash of each file's name: {parts}", *found.others])
    made = {}
    for split in shares:
        tracks = [t for name, t in sorted(found.tracks.items()) if split_of(name, shares) == split]
        if tracks:
            made[split] = Plan(split, vocabulary, "track", tuple(tracks), how)
    for name in absent:
        split = split_of(name, shares)
        split = split if split in made else next(iter(made))
        made[split] = replace(made[split], missing=(*made[split].missing, name))
    return made


def split_of(name: str, shares: Mapping[str, float]) -> str:
    """The split of a track, from its name alone."""
    point = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    end = 0.0
    for split, share in shares.items():
        end += share
        if point < end:
            return split
    return list(shares)[-1]  # where rounding left the sum below 1


def find_tracks(source: Path, labels: Labels = "clap") -> Found:
    """All audio below a folder, with the labels of its folders or of its shards.

    Raises:
        InputError: two files have one name, but for the spelling of its accents.
    """
    found, files, links = Found(), [], []
    kinds: dict[str, int] = {}
    for path in _walk(source, found):
        suffix = path.suffix.lower()
        if path.is_symlink():
            links.append(path)
        elif suffix in AUDIO_SUFFIXES or suffix == ".tar":
            files.append(path)
            _add(found, source, path, labels)
        elif path.name.lower().endswith(_COMPRESSED):
            _refuse(found, source, path, "is compressed: pack it as a plain .tar")
        elif suffix in _UNREAD:
            kinds[suffix] = kinds.get(suffix, 0) + 1
    seen = {path.resolve() for path in files} if links else set()
    for path in links:
        _follow(found, source, path, labels, seen)
    found.others.extend(f"{n} files of {kind} are not read" for kind, n in sorted(kinds.items()))
    return found


def _walk(source: Path, found: Found) -> list[Path]:
    """All files, and links to folders, that are not hidden; what cannot be listed is refused."""

    def failed(error: OSError) -> None:
        _refuse(found, source, Path(error.filename), f"cannot be read ({error.strerror})")

    paths = []
    for folder, folders, files in os.walk(source, onerror=failed):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        paths += [Path(folder, name) for name in sorted(files) if name[0] != "."]
        paths += [path for name in folders if (path := Path(folder, name)).is_symlink()]
    return paths


def _follow(found: Found, source: Path, path: Path, labels: Labels, seen: set[Path]) -> None:
    """Takes what a link points to, if it is inside and not found anyway."""
    target = Path(os.path.realpath(path))
    inside = target.is_relative_to(source.resolve())
    wanted = path.suffix.lower() in (*AUDIO_SUFFIXES, ".tar") or target.is_dir()
    if not wanted or target in seen or (inside and target.is_dir()):
        return
    if not inside:
        _refuse(found, source, path, f"is a link out of {source}: copy what it points to")
    elif not target.is_file():
        _refuse(found, source, path, "is a link to nothing: remove it")
    else:
        seen.add(target)
        _add(found, source, path, labels)


def _name(source: Path, path: Path) -> str:
    """The path below the source, with accents spelled as Linux does (macOS takes them apart)."""
    return printable(unicodedata.normalize("NFC", path.relative_to(source).as_posix()))


def _refuse(found: Found, source: Path, path: Path, why: str) -> None:
    name = _name(source, path)
    found.tracks[name] = Unusable(name, f"{path} {why}")


def _add(found: Found, source: Path, path: Path, labels: Labels) -> None:
    """Takes a file, or all samples of a shard."""
    name = _name(source, path)
    tracks: list[Source]
    if path.suffix.lower() == ".tar":
        tracks, silent = samples(path, name, labelled=labels != "clap")
        if silent:
            found.others.append(f"{silent} samples of {name} have no audio")
    else:
        own = clean(name.split("/")[:-1]) if labels == "from-folders" else ()
        tracks = [Mixture(name, own, path)]
    for track in tracks:
        if track.name in found.tracks:
            raise InputError(f"{source}: two files are called {track.name}: rename one")
        found.tracks[track.name] = track


def _apply_table(found: Found, source: Path, csv: Path | None) -> tuple[str, ...]:
    """Gives tracks the labels of the table, and returns what it names and the folder lacks."""
    path = csv or source / TABLE
    plain = [
        name
        for name, track in found.tracks.items()
        if isinstance(track, Mixture) and isinstance(track.file, Path)
    ]
    if csv is None and not path.exists():
        if not plain:
            return ()  # shards alone say their labels themselves
        raise ConfigError(f"labels csv: {path} is missing, name another table with --csv")
    rows = read_table(path)
    for name, labels in rows.items():
        if isinstance(track := found.tracks.get(name), Mixture):
            found.tracks[name] = replace(track, labels=labels)
    left = [name for name in plain if name not in rows]
    for name in left:
        del found.tracks[name]
    if left:
        some = ", ".join(left[:3]) + (", ..." if len(left) > 3 else "")
        found.others.append(f"{len(left)} files that {path.name} does not name left out ({some})")
    return tuple(sorted(rows.keys() - found.tracks.keys()))


def _check(source: Path, labels: Labels, csv: Path | None, shares: Mapping[str, float]) -> None:
    if labels not in get_args(Labels):
        raise ConfigError(f"labels {labels!r} is unknown: take {', '.join(get_args(Labels))}")
    if csv is not None and labels != "csv":
        raise ConfigError(f"labels {labels} needs no table: leave {csv} away, or take labels csv")
    if min(shares.values(), default=-1) < 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise ConfigError(f"shares {dict(shares)} must be positive and sum to 1")
    bad = [split for split in shares if not re.fullmatch(r"[A-Za-z0-9][\w-]*", split)]
    if bad:
        raise ConfigError(f"split {bad[0]!r} is no name: take letters and digits")
    if not source.is_dir():
        raise InputError(f"{source} is no folder: give one that holds audio")
