"""Slakh2100: class stems, their sum, and who plays when, from any of the layouts it comes in.

Two layouts of a track are read:

* Slakh2100's own: ``TrackNNNNN/`` with ``metadata.yaml`` and ``stems/SXX.flac`` (BabySlakh:
  ``.wav``). The class stem is the *sum* of all stems of that ``inst_class``. A stem counts when its
  file exists: the flag ``audio_rendered`` is false in files whose audio is there. Other classes
  (organ, strings, ...) are dropped, so the mixture is the sum of the four class stems and *not*
  ``mix.flac``.
* MSDM's: ``TrackNNNNN/{bass,drums,guitar,piano}.wav``.

A class without a file is silent; stems of unequal length are padded with zeros at the end. Tracks
whose sum or a stem would exceed full scale are scaled as a whole and the gain is recorded.

Tracks are found in ``SRC/{train,validation,test,omitted}/`` or straight in ``SRC`` (BabySlakh), and
put into splits either as the folders say, or by one of the official lists
(`data_pipelines.arrangements`): ``original``, that of the paper's protocol, has the same MIDI file
in more than one split; ``redux`` leaves such tracks out and is the honest one.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from data_pipelines.activity import note_activity
from data_pipelines.arrangements import matching_arrangement, official_tracks
from data_pipelines.corpus import MAX_SECONDS, Plan, SourceAudio
from data_pipelines.slakh_metadata import stem_entries
from gmsdi_jax.audio import read
from gmsdi_jax.errors import ConfigError, InputError

CLASSES = ("Bass", "Drums", "Guitar", "Piano")
SPLITS = ("train", "validation", "test")
Arrangement = Literal["folders", "original", "redux", "split2"]
Labels = Literal["levels", "notes"]
_FOLDERS = (*SPLITS, "omitted")
_AUDIO_SUFFIXES = (".flac", ".wav")
_AGAIN = "download the track again"
_TRACK = re.compile(r"Track\d+")


@dataclass(frozen=True)
class SlakhTrack:
    """The folder of one track."""

    folder: Path
    hop: int | None = None
    """Samples per frame of note activity; None judges presence by the stems' levels."""

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.name

    @property
    def labels(self) -> tuple[str, ...]:
        """None: presence belongs to windows."""
        return ()

    def read(self, sample_rate: int) -> SourceAudio:
        """Its four class stems.

        Raises:
            InputError: A file is damaged, or there is none.
        """
        stems = class_stems(self.folder, sample_rate)
        if self.hop is None:
            return SourceAudio(stems)
        frames = -(-stems.shape[1] // self.hop)
        files = class_files(self.folder, midi=True)
        seconds = self.hop / sample_rate
        active = [note_activity(files.get(name, ()), frames, seconds) for name in CLASSES]
        return SourceAudio(stems, np.stack(active))


def plans(
    source: Path,
    *,
    splits: Sequence[str] = SPLITS,
    arrangement: Arrangement = "folders",
    labels: Labels = "levels",
    hop: int = 1024,
) -> dict[str, Plan]:
    """What to prepare of a folder of Slakh2100, by split.

    Args:
        source: The folder; see the module for the layouts.
        splits: Which splits.
        arrangement: Where a track belongs: to the folder it lies in, or as an official list says.
        labels: Whether a class plays where its stem is loud enough or where its MIDI has a note.
        hop: Samples per frame of the levels.

    Raises:
        ConfigError: There is no such arrangement.
        InputError: A split has no tracks, or a name stands in two folders.
    """
    if arrangement not in get_args(Arrangement):
        raise ConfigError(f"no arrangement {arrangement!r}: {', '.join(get_args(Arrangement))}")
    if not source.is_dir():
        raise InputError(f"{source} not found: name the folder that holds the tracks")
    found = {name: _tracks(source / name) for name in _FOLDERS if (source / name).is_dir()}
    if arrangement == "folders" and found:
        chosen, missing, words = _by_folder(source, found, splits)
    else:
        # A flat folder says nothing of splits: the numbers do.
        listed = "original" if arrangement == "folders" else arrangement
        found = found or {"": [path for path in _tracks(source) if path.name.startswith("Track")]}
        chosen, missing, words = _by_list(found, splits, listed)
    frames = hop if labels == "notes" else None
    made = {
        split: Plan(
            split,
            CLASSES,
            "window",
            tuple(SlakhTrack(folder, frames) for folder in folders),
            words,
            missing.get(split, ()),
        )
        for split, folders in chosen.items()
        if folders
    }
    if not made:
        raise InputError(f"{source} holds no track folders of {', '.join(splits)}: check SRC")
    return made


def class_files(folder: Path, *, midi: bool = False) -> dict[str, list[Path]]:
    """The files of each class that has any, in either layout: audio, or notes in Slakh's own.

    A stem whose metadata says that it was rendered and that has no file is lost, and so are the
    notes of a stem that has audio.

    Raises:
        InputError: The metadata is damaged, a file is lost, or there is none of any class.
    """
    files: dict[str, list[Path]] = {name: [] for name in CLASSES}
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder, but a file or a link to nothing: remove it")
    if os.path.lexists(metadata := folder / "metadata.yaml"):
        for stem in stem_entries(metadata):
            if stem.inst_class in files:
                audio = _first(folder / "stems" / stem.key, _AUDIO_SUFFIXES)
                if audio is None and stem.rendered:
                    raise InputError(f"{folder}: the audio of stem {stem.key} is lost, {_AGAIN}")
                notes = _first(folder / "MIDI" / stem.key, (".mid",)) if midi else None
                if midi and notes is None and audio is not None:
                    raise InputError(f"{folder}: the notes of stem {stem.key} are lost, {_AGAIN}")
                files[stem.inst_class].extend(filter(None, [notes if midi else audio]))
    elif not midi:
        for name in CLASSES:
            files[name].extend(filter(None, [_first(folder / name.lower(), _AUDIO_SUFFIXES)]))
    found = {name: paths for name, paths in files.items() if paths}
    if not found:
        kind = "MIDI" if midi else "audio"
        raise InputError(f"{folder}: no {kind} of {', '.join(CLASSES)} in Slakh's or MSDM's layout")
    return found


def class_stems(folder: Path, sample_rate: int) -> Float[np.ndarray, "k t"]:
    """The four class stems of a track, mono (the mean of the channels), at ``sample_rate``.

    Args:
        folder: One ``TrackNNNNN``.
        sample_rate: Samples per second of the result.

    Returns:
        One row per class of `CLASSES`, zeros for a class without files (full scale = 1).

    Raises:
        InputError: A file is damaged, or there is none.
    """
    audio = {
        name: [
            read(path, sample_rate=sample_rate, mono=True, max_seconds=MAX_SECONDS)[0][:, 0]
            for path in paths
        ]
        for name, paths in class_files(folder).items()
    }
    length = max(len(part) for parts in audio.values() for part in parts)
    if length == 0:
        raise InputError(f"{folder}: all stems are empty")
    stems = np.zeros((len(CLASSES), length), np.float32)
    for row, name in enumerate(CLASSES):
        for part in audio.get(name, ()):
            stems[row, : len(part)] += part
    return stems


def _first(stem: Path, suffixes: tuple[str, ...]) -> Path | None:
    """The first file of this name and any of the endings; also a link to nothing, which fails."""
    paths = (stem.with_name(stem.name + suffix) for suffix in suffixes)
    return next((path for path in paths if os.path.lexists(path)), None)


_Chosen = tuple[dict[str, list[Path]], dict[str, tuple[str, ...]], str]
"""Folders by split, tracks that are missing by split, and the words for the manifest."""


def _by_folder(source: Path, found: dict[str, list[Path]], splits: Sequence[str]) -> _Chosen:
    """Tracks where they lie; every split that is asked for must hold some."""
    for split in splits:
        if not found.get(split):
            kind = "holds no track folders" if split in found else "not found"
            raise InputError(f"{source / split} {kind}: name other splits, or check SRC")
    same = matching_arrangement({name: [f.name for f in group] for name, group in found.items()})
    words = f"as the folders are ({same if same else 'none of the official arrangements'})"
    return {split: found[split] for split in splits}, {}, words


def _by_list(found: dict[str, list[Path]], splits: Sequence[str], arrangement: str) -> _Chosen:
    """Tracks where an official list puts them, wherever they lie; what is not there is missing."""
    folders: dict[str, Path] = {}
    for folder in (folder for group in found.values() for folder in group):
        if folder.name in folders:
            raise InputError(f"{folder} and {folders[folder.name]} have one name: remove one")
        folders[folder.name] = folder
    listed = official_tracks(arrangement)
    chosen = {s: [folders[name] for name in listed[s] if name in folders] for s in splits}
    missing = {s: tuple(name for name in listed[s] if name not in folders) for s in splits}
    return chosen, missing, f"the official list {arrangement}"


def _tracks(folder: Path) -> list[Path]:
    """The track folders in a folder, by name, and what stands in the place of one."""

    def wanted(path: Path) -> bool:
        return path.is_dir() or not path.exists() or bool(_TRACK.fullmatch(path.name))

    return sorted(path for path in folder.iterdir() if path.name[0] != "." and wanted(path))
