"""What is heard of a folder: files, mixtures or one stem, cut into clips of one length.

Three layouts are read, and need no word in advance:

* any folder of audio: every file below it is heard;
* what `gmsdi generate` and `gmsdi accompany` write, a folder per piece with its stems, ``mix`` and
  ``gmsdi.json``: the mix is heard;
* a folder per song with a file per stem (MSDM's data, demucs' output): with ``mix`` asked for, the
  song's mix or mixture if it is there (Slakh2100), else the sum of its stems, cut to the shortest
  as published. A stem asked for by name is the file of that name in every folder.

For accompaniments by other tools, the stems that were given may lie in another folder of the same
layout: each generated piece is then heard together with those stems of the piece of the same path
that it did not generate itself. That is the mixture whose FAD the papers call sub-FAD.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gmsdi_jax.audio import probe, read
from gmsdi_jax.errors import ConfigError, InputError
from gmsdi_jax.pipeline.result import file_name

_MIX = "mix"
_MIXES = {_MIX, "mixture"}
_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff"}
_STEMS = 32
"""More files than any song has stems: such a folder holds songs."""
_APART = 1.0
"""Seconds by which the stems of a piece may differ in length."""


@dataclass(frozen=True)
class Cut:
    """Which parts of the files are heard."""

    seconds: float | None = 12.0
    """Length of a clip; what is left of a file is dropped, a shorter file heard whole. None: all
    files whole."""
    count: int | None = None
    """So many clips, drawn at random; None: all."""
    seed: int = 0
    """Of the draw."""

    def __post_init__(self):
        """Refuses what is no length or number."""
        if self.seconds is not None and not self.seconds > 0:
            raise ConfigError(f"seconds is {self.seconds}: a clip must be longer than 0")
        if self.count is not None and self.count < 2:
            raise ConfigError(f"clips is {self.count}: a distance needs at least 2")


class Source(NamedTuple):
    """One sound: a file, or the sum of several."""

    track: str
    """What it is called: its path below the folder."""
    files: tuple[Path, ...]


class Clip(NamedTuple):
    """A part of a source."""

    source: Source
    sample_rate: int
    """Hz, of all its files."""
    start: int
    """First sample."""
    frames: int
    """Number of samples."""


def find_clips(folder: Path, what: str | None, cut: Cut, given: Path | None = None) -> list[Clip]:
    """The clips of a folder, in the order of their paths; only headers are read.

    Args:
        folder: searched with all that is below it.
        what: ``mix``, a stem's name, or None for every file (of gmsdi's own folders, the mix).
        cut: how they are cut.
        given: where the stems lie that belong to each generated piece; with ``mix`` only.

    Raises:
        InputError: there is no such audio, a file cannot be read, or the stems of a piece differ
            in rate, or in length by more than a second.
        ConfigError: stems are given where no mixture is heard.
    """
    if given is not None and not is_mix(what):
        raise ConfigError("given stems are heard in mixtures only: add -s mix")
    sources = list(_sources(folder, what))
    if given is not None:
        sources = [_completed(source, given / source.track) for source in sources]
    clips = [clip for source in sources for clip in _cut(source, cut.seconds)]
    if not clips:
        of_stem = "" if what is None or is_mix(what) else f" called {what}"
        raise InputError(f"{folder}: no audio{of_stem} below it (wav, flac, ogg, mp3, ...)")
    if cut.count is not None and cut.count < len(clips):
        drawn = np.random.default_rng(cut.seed).choice(len(clips), cut.count, replace=False)
        clips = [clips[i] for i in sorted(drawn)]
    return clips


def is_mix(what: str | None) -> bool:
    """Whether the mixture is asked for, not a stem."""
    return what is not None and what.casefold() == _MIX


def load(source: Source) -> Float[np.ndarray, " t"]:
    """The whole of a source, mono, at its own rate, full scale = 1.

    Raises:
        InputError: a file is damaged.
    """
    parts = [read(path, mono=True)[0][:, 0] for path in source.files]
    shortest = min(map(len, parts))
    return reduce(np.add, [part[:shortest] for part in parts])


def part(audio: Float[np.ndarray, " t"], clip: Clip) -> Float[np.ndarray, " n"]:
    """The clip's samples of its source; silence where a compressed file ends before its header."""
    samples = audio[clip.start : clip.start + clip.frames]
    return np.pad(samples, (0, clip.frames - len(samples)))


def _sources(folder: Path, what: str | None) -> Iterator[Source]:
    mixed: list[Path] = []  # folders of songs whose mix is heard: what is below them is in it
    for place, files in _audio(folder).items():
        track = place.relative_to(folder).as_posix()
        stems = [path for path in files if path.stem.lower() not in _MIXES | {"residual"}]
        mixes = [path for path in files if path.stem.lower() in _MIXES]
        if what is None and not (place / "gmsdi.json").exists():
            for path in files:
                yield Source(path.relative_to(folder).as_posix(), (path,))
        elif what is None or is_mix(what):
            if any(place.is_relative_to(song) for song in mixed):
                continue
            if mixes:
                mixed.append(place)
            elif len(stems) > _STEMS:
                raise InputError(
                    f"{place}: {len(stems)} files are not the stems of one song; leave -s mix out "
                    "to hear each by itself"
                )
            if mixes or stems:
                yield Source(track, tuple(mixes[:1] or stems))
        else:
            found = [path for path in files if file_name(path.stem) == file_name(what)]
            if found:
                yield Source(track, (found[0],))


def _audio(folder: Path) -> dict[Path, list[Path]]:
    """The audio files below a folder, by the folder that they are in, hidden ones left out."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    places: dict[Path, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in _SUFFIXES and path.is_file() and not hidden:
            places.setdefault(path.parent, []).append(path)
    return dict(sorted(places.items()))


def _completed(source: Source, place: Path) -> Source:
    """The source with the stems in `place` that are not its own."""
    own = {path.stem.lower() for path in source.files}
    if own & _MIXES:
        raise InputError(
            f"{source.files[0]}: a mix holds the given stems already: leave --given out, or the mix"
        )
    stems = _audio(place).get(place, [])
    others = [p for p in stems if p.stem.lower() not in own | _MIXES | {"residual"}]
    if not others:
        raise InputError(f"{place}: holds no stem beside the generated {', '.join(sorted(own))}")
    return Source(source.track, (*source.files, *others))


def _cut(source: Source, seconds: float | None) -> list[Clip]:
    infos = [probe(path) for path in source.files]
    rate, frames = infos[0].sample_rate, min(info.frames for info in infos)
    for info in infos:
        if info.sample_rate != rate:
            raise InputError(
                f"{info.name}: {info.sample_rate} Hz, where {infos[0].name} has {rate} Hz: stems "
                "that are summed need one rate"
            )
        if info.frames - frames > _APART * rate:
            raise InputError(
                f"{info.name}: {info.seconds:.1f} s, where another stem of it has "
                f"{frames / rate:.1f} s: stems that are summed need one length"
            )
    size = frames if seconds is None else min(round(seconds * rate), frames)
    return [Clip(source, rate, start, size) for start in _starts(frames, size)]


def _starts(frames: int, size: int) -> Sequence[int]:
    return range(0, frames - size + 1, size)
