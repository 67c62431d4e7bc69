"""WebDataset shards: tars in which the files of one sample share a name up to its first dot.

``000/song.flac`` and ``000/song.json`` are the sample ``000/song``. One of its files is the audio;
its labels are in the first of these that is there:

``.json``
    An object whose ``labels`` or ``tags`` is a list of words.
``.txt``
    Words apart by commas or line ends.
``.cls``
    One word, or the number of a class.

The audio is read in place; the small files are read when the shard is listed.
"""

import json
import re
from pathlib import Path, PurePosixPath

from data_pipelines.corpus import Source
from data_pipelines.label_table import clean
from data_pipelines.mixtures import AUDIO_SUFFIXES, Mixture, Unusable
from data_pipelines.tars import Member, index
from gmsdi_jax.errors import InputError

SIDECARS = ("json", "txt", "cls")
MAX_SIDECAR = 2**20
"""Bytes; labels need a few hundred."""


def samples(tar: Path, name: str, *, labelled: bool = True) -> tuple[list[Source], int]:
    """The samples of one shard, and how many of its groups hold no audio.

    A sample that cannot be used, as a link or with labels that are damaged, is among them and says
    why when it is read; so is the damage of the shard itself.

    Args:
        tar: the shard.
        name: what to call it; samples are called ``name/key``.
        labelled: whether to read the labels.
    """
    try:
        held = index(tar)
    except InputError as error:
        return [Unusable(name, str(error))], 0
    refused: dict[str, Source] = {}
    for file, reason in held.refused.items():
        track = f"{name}/{_key(file)[0]}" if file else name
        refused.setdefault(track, Unusable(track, reason))
    groups: dict[str, dict[str, Member]] = {}
    for file, member in held.members.items():
        if not PurePosixPath(file).name.startswith("."):
            key, ending = _key(file)
            groups.setdefault(f"{name}/{key}", {})[ending] = member
    tracks, silent = [*refused.values()], 0
    for track, parts in groups.items():
        audio = [part for end, part in parts.items() if f".{_last(end)}" in AUDIO_SUFFIXES]
        if not audio:
            silent += 1
        elif track not in refused:
            tracks.append(_sample(track, audio, parts, labelled))
    return tracks, silent


def _key(file: str) -> tuple[str, str]:
    """The name up to the first dot behind the folders, and what follows that dot."""
    folder, slash, last = file.rpartition("/")
    key, _, ending = last.partition(".")
    return folder + slash + key, ending


def _last(ending: str) -> str:
    return ending.rpartition(".")[2].lower()


def _sample(track: str, audio: list[Member], parts: dict[str, Member], labelled: bool) -> Source:
    if len(audio) > 1:
        names = " and ".join(PurePosixPath(member.name).name for member in audio[:2])
        return Unusable(track, f"{audio[0].tar}: {names} are of one sample: which is the audio?")
    if not labelled:
        return Mixture(track, (), audio[0])
    sidecars = {_last(ending): member for ending, member in parts.items()}
    for ending in SIDECARS:
        if ending in sidecars:
            member = sidecars[ending]
            try:
                labels = _labels(ending, member)
            except (ValueError, RecursionError, InputError) as error:
                return Unusable(track, f"{member} has no labels that can be read ({error})")
            if labels is not None:
                return Mixture(track, labels, audio[0])
    return Mixture(track, (), audio[0])


def _labels(ending: str, member: Member) -> tuple[str, ...] | None:
    """The labels in a sidecar; None for an object that has none."""
    if member.size > MAX_SIDECAR:
        raise ValueError(f"{member.size} bytes, more than {MAX_SIDECAR}")
    with member.open() as file:
        text = file.read().decode("utf-8-sig")
    if ending == "json":
        fields = json.loads(text)
        if not isinstance(fields, dict):
            raise ValueError("it is not an object")
        words = fields.get("labels", fields.get("tags"))
        if words is None:
            return None
        if not isinstance(words, list):
            raise ValueError("its labels are not a list")
        return clean(words)
    return clean(re.split(r"[,\r\n]", text) if ending == "txt" else [text])
