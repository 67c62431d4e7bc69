"""The manifest of a split: what its shards hold, how they were made and how to check them.

A split is complete if and only if its ``manifest.json`` exists: the writer makes it last. It names
every shard with its number of records and its checksum, because a shard that is *missing* would
otherwise go unnoticed, and every track with its place, length and gain.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from gmsdi_jax.data.presence import GATE
from gmsdi_jax.errors import ConfigError, InputError, UnavailableError

MANIFEST = "manifest.json"
FORMAT = 1
ADVICE = "run gmsdi data slakh SRC OUT"


@dataclass(frozen=True)
class Settings:
    """How a split is cut; two runs with equal settings make the same records.

    Raises:
        ConfigError: ``chunk`` is not a multiple of ``hop``, or a number is not positive.
    """

    labels: tuple[str, ...]
    """Names of the classes, in the order of levels, stems and token ids."""
    sample_rate: int = 22050
    """Samples per second."""
    chunk: int = 2**17
    """Samples per record, a multiple of ``hop``; the longest window that can be read."""
    hop: int = 1024
    """Samples per frame of the levels; windows start and end on frames."""
    gate: float = GATE
    """Root mean square from which a class counts as playing (full scale = 1)."""
    stems: bool = False
    """Whether records hold the class stems; training data does not need them."""

    def __post_init__(self) -> None:
        if min(self.sample_rate, self.chunk, self.hop) < 1 or self.gate < 0:
            raise ConfigError(f"sample_rate, chunk, hop and gate must be positive: {self}")
        if self.chunk % self.hop:
            raise ConfigError(f"chunk {self.chunk} is not a multiple of hop {self.hop}")
        if not self.labels:
            raise ConfigError("labels is empty: name at least one class")


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
    """How often each set of classes plays in back-to-back windows of about 1.5 s."""
    shards: tuple[Shard, ...]
    """The files of records."""
    levels: Shard
    """The index of levels, ``levels.npy``: all records' levels once more, for quick draws."""
    tracks: tuple[TrackEntry, ...]
    """The tracks, in the order of their records."""
    damaged: dict[str, str]
    """Tracks of the source that could not be read, with the reason."""
    format: int = FORMAT
    """Version of this layout."""

    def write(self, folder: Path) -> None:
        """Writes ``manifest.json`` in one step, so that it is there whole or not at all."""
        temporary = folder / f".{MANIFEST}.tmp"
        temporary.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")
        temporary.replace(folder / MANIFEST)


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a split.

    Raises:
        UnavailableError: There is none: the split was never prepared, or not to its end.
        InputError: It is damaged, or of another version of this library.
    """
    path = folder / MANIFEST
    try:
        fields = json.loads(path.read_text())
    except FileNotFoundError:
        raise UnavailableError(f"{path} is missing, the split is not prepared: {ADVICE}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}): delete the folder and {ADVICE}") from error
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise InputError(f"{path} is not of format {FORMAT}: delete the folder and {ADVICE}")
    try:
        settings = fields["settings"]
        fields["settings"] = Settings(**{**settings, "labels": tuple(settings["labels"])})
        fields["shards"] = tuple(Shard(**shard) for shard in fields["shards"])
        fields["levels"] = Shard(**fields["levels"])
        fields["tracks"] = tuple(TrackEntry(**track) for track in fields["tracks"])
        return Manifest(**fields)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}): delete the folder and {ADVICE}") from error
