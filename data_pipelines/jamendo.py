"""MTG-Jamendo: full recordings with tags, from its tars or from what they unpack to.

``SRC`` holds the tars ``raw_30s_audio-low-NN.tar``, the folders ``NN`` that are in them, or some of
each. Tars are read in place (`data_pipelines.tars`). A track is ``NN/ID.low.mp3``, and also
``NN/ID.mp3``, its name in the archives of full quality. A few parts out of the hundred make a small
data set: then only tracks of those parts count as missing.

Two arrangements:

``paper``
    Parts 00 to 97 train and 98 and 99 validation, as in GMSDI's paper; no test. NN is ID mod 100,
    so this splits tracks at random, and albums with them: of 490 validation tracks with instrument
    tags, 472 share an artist and 430 an album with training tracks (counted in
    ``autotagging_instrument.tsv``). Numbers measured there flatter.
``split-0`` to ``split-4``
    The official lists train, validation and test, without a common artist: the honest ones.

A cut mp3 may decode without an error, so the length of each is compared with the table
(`data_pipelines.mixtures.LENGTH_TOLERANCE`). Audio that no list names is left out and counted. What
cannot be used, also a member of a tar that points out of it, is a track that fails when it is read.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from data_pipelines.corpus import Plan, Source
from data_pipelines.jamendo_lists import Listed, all_tracks, split_lists, vocabulary
from data_pipelines.mixtures import Mixture, Unusable
from data_pipelines.tars import Member, index
from gmsdi_jax.errors import ConfigError, InputError

ARRANGEMENTS = ("paper", "split-0", "split-1", "split-2", "split-3", "split-4")
TRAINING_PARTS = 98
"""The paper trains on the parts below and validates on the two from here."""

_TAR = re.compile(r"raw_30s_audio(?:-low)?-(\d\d)\.tar")
_FILE = re.compile(r"(\d\d)/(\d{1,9})(\.low)?\.mp3")


@dataclass
class Audio:
    """What a source holds."""

    files: dict[str, Path | Member] = field(default_factory=dict)
    """By track, such as 82/382."""
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Tracks, or members that are none, that cannot be used: their part, and why."""
    parts: set[int] = field(default_factory=set)
    """The numbers of the tars and folders that are there."""
    others: int = 0
    """Files that are no tracks."""


def plans(source: Path, *, metadata: Path | None = None, split: str = "paper") -> dict[str, Plan]:
    """One plan per split that has tracks in the source.

    Args:
        source: folder of the tars or of the folders NN.
        metadata: folder of the tables, or one whose folder ``data`` holds them; by default
            the source.
        split: one of `ARRANGEMENTS`.

    Raises:
        ConfigError: there is no such arrangement.
        UnavailableError: the tables are not there.
        InputError: a table is malformed, or the source has no tracks.
    """
    if split not in ARRANGEMENTS:
        raise ConfigError(f"split {split!r} is unknown: take {', '.join(ARRANGEMENTS)}")
    if not source.is_dir():
        raise InputError(f"{source} is no folder: give the one that holds MTG-Jamendo's tars")
    if split == "paper":
        tracks, table = all_tracks(metadata or source)
        lists = {
            "train": {n: t for n, t in tracks.items() if t.part < TRAINING_PARTS},
            "validation": {n: t for n, t in tracks.items() if t.part >= TRAINING_PARTS},
        }
        how = f"parts 00-97 train and 98-99 validation as in the paper, tags of {table}"
    else:
        lists = split_lists(metadata or source, split)
        how = f"the official lists of {split}, no artist in two of them"
    audio = find_audio(source)
    if not audio.parts:
        raise InputError(
            f"{source} holds neither raw_30s_audio-low-NN.tar nor folders NN of mp3 files:"
            " run gmsdi data download jamendo"
        )
    made = _plans(lists, audio, split, f"MTG-Jamendo, {how}; {_present(lists, audio)}")
    if not made:
        raise InputError(f"{source} holds no track that the lists of {split} name: add other tars")
    return made


def find_audio(source: Path) -> Audio:
    """All tracks in a source; a folder goes before a tar, and low quality before full."""
    audio = Audio()
    for folder in sorted(source.glob("[0-9][0-9]")):
        audio.parts.add(int(folder.name))
        try:
            paths = sorted(path for path in folder.iterdir() if path.name[0] != ".")
        except OSError as error:  # also where it is a file, or a link to nothing
            reason = f"{folder} cannot be read ({error.strerror}): download it again"
            audio.refused[folder.name] = (int(folder.name), reason)
        else:
            _take(audio, {f"{folder.name}/{path.name}": path for path in paths})
    for tar in sorted(source.glob("*.tar")):
        if not (found := _TAR.fullmatch(tar.name)):
            continue
        part = int(found[1])
        audio.parts.add(part)
        try:
            held = index(tar)
        except InputError as error:
            audio.refused[tar.name] = (part, str(error))
            continue
        _take(audio, held.members)
        for name, reason in held.refused.items():
            track = _FILE.fullmatch(name)
            shown = f"{track[1]}/{track[2]}" if track else f"{tar.name}: {name}".rstrip(": ")
            audio.refused.setdefault(shown, (part, reason))
    for name in audio.refused.keys() & audio.files.keys():
        del audio.refused[name]
    return audio


def _take(audio: Audio, files: Mapping[str, Path | Member]) -> None:
    """Adds the tracks among files NN/ID.low.mp3 that are not there yet."""
    tracks: dict[str, Path | Member] = {}
    for name, file in sorted(files.items(), key=lambda item: ".low." not in item[0]):
        if (found := _FILE.fullmatch(name)) and int(found[1]) == int(found[2]) % 100:
            tracks.setdefault(f"{found[1]}/{found[2]}", file)
        else:
            audio.others += 1
    audio.files = tracks | audio.files


def _plans(
    lists: Mapping[str, Mapping[str, Listed]], audio: Audio, split: str, arrangement: str
) -> dict[str, Plan]:
    labels = vocabulary(lists)
    listed = {name for tracks in lists.values() for name in tracks}
    made: dict[str, Plan] = {}
    stranded: list[str] = []
    for name, tracks in lists.items():
        sources: list[Source] = []
        for track in tracks.values():
            if track.name in audio.files:
                file = audio.files[track.name]
                sources.append(Mixture(track.name, track.tags, file, track.seconds))
            elif track.name in audio.refused:
                _, reason = audio.refused[track.name]
                sources.append(Unusable(track.name, reason, track.tags))
        # What no list names has no split of its own: it goes where its tar would.
        for other, (part, reason) in audio.refused.items():
            home = "validation" if split == "paper" and part >= TRAINING_PARTS else "train"
            if other not in listed and home == name:
                sources.append(Unusable(other, reason))
        held = {source.name for source in sources}
        here = (track.name for track in tracks.values() if track.part in audio.parts)
        missing = tuple(sorted(track for track in here if track not in held))
        if sources:
            by_name = tuple(sorted(sources, key=lambda source: source.name))
            made[name] = Plan(name, labels, "track", by_name, arrangement, missing)
        else:
            stranded.extend(missing)
    # A split without tracks is not made; what it lacks is told by one that is.
    for name in list(made)[:1]:
        made[name] = replace(made[name], missing=(*made[name].missing, *stranded))
    return made


def _present(lists: Mapping[str, Mapping[str, Listed]], audio: Audio) -> str:
    """What of the data set is there, in words."""
    listed = {name for tracks in lists.values() for name in tracks}
    others = audio.others + len(audio.files.keys() - listed)
    parts = "all parts" if len(audio.parts) == 100 else f"parts {_ranges(audio.parts)} of 00-99"
    return f"{parts} are there" + (
        f"; {others} files that no list names left out" if others else ""
    )


def _ranges(numbers: Iterable[int]) -> str:
    """Numbers as 00-03, 98."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a:02d}" if a == b else f"{a:02d}-{b:02d}" for a, b in runs)
