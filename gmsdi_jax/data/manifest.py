"""The manifest of a split: what its shards hold, how they were made and how to check them.

A split is complete if and only if its ``manifest.json`` exists: it is written last. It names every
shard with its number of records and its checksum, because a shard that is *missing* would otherwise
go unnoticed, and every track with its place, length, gain and labels.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from gmsdi_jax.data.presence import GATE
from gmsdi_jax.errors import ConfigError, InputError, UnavailableError

MANIFEST = "manifest.json"
FORMAT = 2
ADVICE = "prepare it again with gmsdi data"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Settings:
    """How a split is cut; two runs with equal settings make the same records.

    Raises:
        ConfigError: ``chunk`` is not a multiple of ``hop``, a number is not positive, or the labels
            do not fit the presence.
    """

    labels: tuple[str, ...]
    """Names of the classes or tags, in the order of levels, stems and token ids."""
    sample_rate: int = 22050
    """Samples per second."""
    chunk: int = 2**17
    """Samples per record, a multiple of ``hop``; windows may be longer or shorter."""
    hop: int = 1024
    """Samples per frame of the levels; windows start and end on frames."""
    gate: float = GATE
    """Root mean square from which a class counts as playing (full scale = 1)."""
    stems: bool = False
    """Whether records hold the class stems; training data does not need them."""
    presence: Literal["window", "track"] = "window"
    """``window``: every label has levels of its own, and is present in the windows in which it
    reaches the gate. ``track``: labels are the whole track's; the one row of levels is the
    mixture's, and tells where there is anything to hear."""

    def __post_init__(self) -> None:
        if min(self.sample_rate, self.chunk, self.hop) < 1 or self.gate < 0:
            raise ConfigError(f"sample_rate, chunk, hop and gate must be positive: {self}")
        if self.chunk % self.hop:
            raise ConfigError(f"chunk {self.chunk} is not a multiple of hop {self.hop}")
        if self.presence not in ("window", "track"):
            raise ConfigError(f"presence is window or track, not {self.presence!r}")
        if self.presence == "track" and self.stems:
            raise ConfigError("stems need labels per window: presence must be window")
        if not self.labels and self.presence == "window":
            raise ConfigError("labels is empty: name at least one class")
        if len(set(self.labels)) < len(self.labels):
            raise ConfigError(f"labels are named twice: {', '.join(self.labels)}")

    @property
    def rows(self) -> int:
        """Rows of the levels: one per label, or the mixture's."""
        return len(self.labels) if self.presence == "window" else 1


@dataclass(frozen=True)
class Shard:
    """One file of records."""

    file: str
    """Name of the file in the folder of the split."""
    records: int
    """How many records it holds."""
    sha256: str
    """Checksum of the file."""


@dataclass(frozen=True)
class TrackEntry:
    """Where one track lies; all its records are neighbours in one shard."""

    name: str
    """Name of the track, as in the source."""
    first: int
    """Number of its first record, counted over the whole split."""
    length: int
    """Samples, without the padding of the last record."""
    gain: float
    """Factor on all stems that kept the track below full scale; 1 for most tracks."""
    labels: tuple[str, ...] = ()
    """Its labels, where they belong to tracks."""


@dataclass(frozen=True)
class Manifest:
    """All that is known of a split without reading a record."""

    split: str
    """Name of the split."""
    settings: Settings
    """How it was cut."""
    records: int
    """Number of records."""
    seconds: float
    """Length of all tracks together, in seconds."""
    sigma_data: float
    """Root mean square of all mixtures (full scale = 1): the sigma_data of this data."""
    label_sets: dict[str, int]
    """How often each set of labels plays in back-to-back windows of about 1.5 s; of many sets the
    commonest, the rest under ``...``."""
    shards: tuple[Shard, ...]
    """The files of records."""
    levels: Shard
    """The index of levels, ``levels.npy``: all records' levels once more, for quick draws."""
    tracks: tuple[TrackEntry, ...]
    """The tracks, in the order of their records."""
    damaged: dict[str, str]
    """Tracks of the source that could not be read, with the reason."""
    arrangement: str = ""
    """How the source's tracks were put into splits, in words."""
    missing: tuple[str, ...] = ()
    """Tracks that the official lists name and the source did not hold."""
    version: str = ""
    """Of the library that wrote it."""
    format: int = FORMAT
    """Version of this layout."""

    def write(self, folder: Path) -> None:
        """Writes ``manifest.json`` in one step, so that it is there whole or not at all."""
        write_json(folder / MANIFEST, dataclasses.asdict(self))


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Writes a JSON file in one step."""
    temporary = path.with_name(f".{path.name.lstrip('.')}.tmp")
    temporary.write_text(json.dumps(values, indent=1) + "\n")
    temporary.replace(path)


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a split; format 1, which knew no labels of tracks, is read as well.

    Raises:
        UnavailableError: There is none: the split was never prepared, or not to its end.
        InputError: It is damaged, or of another version of this library.
    """
    path = folder / MANIFEST
    if not path.is_file():
        message = f"{path} is missing, the split is not prepared: run gmsdi data slakh SRC OUT"
        raise UnavailableError(f"{message} (or jamendo, folder)")
    try:
        fields = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}): delete the folder and {ADVICE}") from error
    if not isinstance(fields, dict) or fields.get("format") not in range(1, FORMAT + 1):
        raise InputError(f"{path} is not of format {FORMAT}: delete the folder and {ADVICE}")
    try:
        return _manifest({**fields, "format": FORMAT})
    except (KeyError, TypeError, AttributeError, ValueError, ConfigError) as error:
        raise InputError(f"{path} is damaged ({error}): delete the folder and {ADVICE}") from error


def shards_from_json(values: Any) -> tuple[Shard, ...]:
    """Shards from plain values; a name that is no file of the folder itself is refused.

    Raises:
        ValueError: a name leads elsewhere or stands there twice, or a number is none.
    """
    shards = tuple(checked(Shard(**value)) for value in values)
    for shard in shards:
        if not _is_name(shard.file):
            raise ValueError(f"{shard.file[:60]!r} is no file of this folder")
    if len({shard.file for shard in shards}) < len(shards):
        raise ValueError("a file is named twice")
    return shards


def tracks_from_json(values: Any) -> tuple[TrackEntry, ...]:
    """Tracks from plain values.

    Raises:
        ValueError: a number is none.
    """
    tracks = tuple(
        checked(TrackEntry(**{**value, "labels": tuple(value.get("labels", ()))}))
        for value in values
    )
    for track in tracks:
        if not track.length:
            raise ValueError(f"track {track.name[:60]!r} has no place")
    return tracks


def checked(made: _T) -> _T:
    """A dataclass that was made of plain values, given back if these have the types of its fields.

    Raises:
        ValueError: one has not, or a number is negative, infinite or none.
    """
    for field in dataclasses.fields(made):  # type: ignore[arg-type]
        value = getattr(made, field.name)
        if not _FITS.get(field.type, lambda value: True)(value):
            raise ValueError(f"{field.name} is {str(value)[:60]!r}")
    return made


def _manifest(fields: dict[str, Any]) -> Manifest:
    settings = fields["settings"]
    settings = checked(Settings(**{**settings, "labels": tuple(settings["labels"])}))
    tracks = tracks_from_json(fields["tracks"])
    manifest = checked(
        Manifest(
            **{
                **fields,
                "settings": settings,
                "shards": shards_from_json(fields["shards"]),
                "levels": shards_from_json([fields["levels"]])[0],
                "tracks": tracks,
                "missing": tuple(fields.get("missing", ())),
            }
        )
    )
    if not _is_name(manifest.split):
        raise ValueError(f"{manifest.split[:60]!r} is no name of a split")
    _check_places(manifest)
    return manifest


def _check_places(manifest: Manifest) -> None:
    """Refuses tracks that do not follow one another through all records, or have other labels."""
    known, counted = set(manifest.settings.labels), 0
    for track in manifest.tracks:
        if track.first != counted:
            raise ValueError(f"track {track.name[:60]!r} begins at {track.first}, not {counted}")
        if not known.issuperset(track.labels):
            raise ValueError(f"track {track.name[:60]!r} has labels that are not among the others")
        counted += -(-track.length // manifest.settings.chunk)
    held = sum(shard.records for shard in manifest.shards)
    if not held == counted == manifest.records == manifest.levels.records or not held:
        raise ValueError(f"{manifest.records} records, {held} in shards, {counted} of tracks")


def _is_name(text: str) -> bool:
    """Whether it names something in the folder itself."""
    return Path(text).name == text != "" and text.isprintable() and not text.startswith("..")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return (isinstance(value, float) and math.isfinite(value) and value >= 0) or _is_count(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_FITS: dict[Any, Any] = {
    str: _is_text,
    int: _is_count,
    float: _is_number,
    bool: lambda value: isinstance(value, bool),
    tuple[str, ...]: lambda value: all(map(_is_text, value)),
    dict[str, int]: lambda value: all(map(_is_count, value.values())),
    dict[str, str]: lambda value: all(map(_is_text, value.values())),
}
"""What values of a field must be, by its type."""
