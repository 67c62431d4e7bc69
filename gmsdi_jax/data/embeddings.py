"""Embeddings of windows made ahead of training, kept beside the shards that they belong to.

    OUT/train/embeddings/clap/part-00003-of-00188.npy   one row per record of shard 3, float32
    OUT/train/embeddings/clap/embeddings.json           written last: encoder, window, checksums

The vector of record ``r`` is that of the window which *starts* with record ``r``; the last records
of a track, after which there is no whole window, have zeros. Training on them reads just these
windows, so every example carries the embedding of its own audio. (An embedding of another crop of
the song would say less; embedding every random crop anew needs the encoder beside the model.)

A part is the unit of work, as a shard is: any process on any machine makes any part.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gmsdi_jax.data.manifest import write_json
from gmsdi_jax.data.records import to_float
from gmsdi_jax.data.shards import Split
from gmsdi_jax.data.writer import sha256
from gmsdi_jax.errors import ConfigError, InputError, OutputError, UnavailableError

FOLDER, MANIFEST = "embeddings", "embeddings.json"
Embed = Callable[[Float[np.ndarray, "n t"]], Float[np.ndarray, "n d"]]
"""Mono windows at the split's rate, full scale = 1, to one vector each."""


@dataclass(frozen=True)
class Embeddings:
    """The stored vectors of a split."""

    folder: Path
    window: int
    """Samples of the windows that were embedded."""
    encoder: str
    """Digest of the encoder's weights."""
    parts: tuple[Float[np.ndarray, "n d"], ...]
    ends: tuple[int, ...]

    @property
    def features(self) -> int:
        """Length of a vector."""
        return max(part.shape[1] for part in self.parts)

    def __getitem__(self, record: int) -> Float[np.ndarray, " d"]:
        """The vector of the window that starts with a record."""
        place = int(np.searchsorted(self.ends, record, side="right"))
        vector = np.array(self.parts[place][record - self.ends[place]])  # counted from the end
        return vector if len(vector) else np.zeros(self.features, np.float32)


def write_embeddings(
    split: Split,
    name: str,
    window: int,
    encoder: str,
    embed: Embed,
    *,
    share: tuple[int, int] = (0, 1),
    rows: int = 32,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> bool:
    """Embeds the windows of a split that are not embedded yet; returns whether all are.

    Args:
        split: The data.
        name: Of these embeddings, a folder under ``embeddings``.
        window: Samples per window.
        encoder: Digest of the encoder's weights: what the vectors belong to.
        embed: The encoder.
        share: Which share of the parts to make, of how many: ``(2, 8)`` is the third of eight.
        rows: Windows per call of ``embed``.
        on_progress: Told the records done and in all, of this share.

    Raises:
        ConfigError: The name holds embeddings of another encoder or window, or the share is none.
        InputError: A record is damaged.
        OutputError: The folder cannot be written.
    """
    index, count = share
    if not 0 <= index < count:
        raise ConfigError(f"share {index} of {count}: number them 0 to {count - 1}")
    if Path(name).name != name or name.startswith("."):
        raise ConfigError(f"{name!r} is no name for embeddings: use a plain word")
    folder = split.folder / FOLDER / name
    key = {"encoder": encoder, "window": window, "records": len(split)}
    _same_key(folder, key)
    shards = split.manifest.shards
    firsts = np.cumsum([0, *(shard.records for shard in shards)])
    mine = [n for n in range(len(shards)) if n % count == index]
    total, done = sum(shards[n].records for n in mine), 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in mine:
            path = _part(folder, number, len(shards))
            if _report(path, key) is None:
                records = range(firsts[number], firsts[number + 1])
                vectors = _embedded(split, records, window, embed, rows)
                _write(path, vectors, key)
            done += shards[number].records
            on_progress(done, total)
        reports = [_report(_part(folder, n, len(shards)), key) for n in range(len(shards))]
        if any(report is None for report in reports):
            return False
        write_json(folder / MANIFEST, {**key, "parts": reports})
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}") from error
    return True


def open_embeddings(split: Split, name: str) -> Embeddings:
    """The stored embeddings of a split; their checksums are compared.

    Raises:
        UnavailableError: There are none of that name, or they are not complete.
        InputError: They are damaged, or of other shards.
    """
    folder = split.folder / FOLDER / name
    advice = f"run gmsdi data embed {split.folder.parent}"
    try:
        values = json.loads((folder / MANIFEST).read_text())
        window, encoder = values["window"], values["encoder"]
        parts = []
        for number, report in enumerate(values["parts"]):
            path = _part(folder, number, len(values["parts"]))
            if sha256(path) != report["sha256"]:
                raise InputError(f"{path} is damaged (checksum): delete it and {advice}")
            parts.append(np.load(path, mmap_mode="r"))
        lengths = [shard.records for shard in split.manifest.shards]
        if [len(part) for part in parts] != lengths:
            raise InputError(f"{folder} belongs to other shards: delete it and {advice}")
        if not isinstance(window, int) or not isinstance(encoder, str):
            raise ValueError(f"window {str(window)[:20]} of encoder {str(encoder)[:20]}")
        if len({part.shape[1] for part in parts} - {0}) > 1:
            raise ValueError("vectors of several lengths")
    except FileNotFoundError as error:
        raise UnavailableError(f"{folder} is not complete: {advice} --name {name}") from error
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"{folder} is damaged ({reason}): delete it and {advice}") from error
    ends = tuple(np.cumsum(lengths).tolist())
    return Embeddings(folder, window, encoder, tuple(parts), ends)


def _embedded(
    split: Split, records: range, window: int, embed: Embed, rows: int
) -> Float[np.ndarray, "n d"]:
    """The vectors of the windows that start with these records."""
    whole = [record for record in records if split.remaining[record] >= window]
    vectors = np.zeros((0, 0), np.float32)
    for first in range(0, len(whole), rows):
        some = whole[first : first + rows]
        audio = np.stack([to_float(split.window(record, 0, window)) for record in some])
        made = np.asarray(embed(audio), np.float32)
        if not np.isfinite(made).all():
            raise InputError(f"{split.folder}: the embedding of a window is not finite")
        if not len(vectors):
            vectors = np.zeros((len(records), made.shape[1]), np.float32)
        vectors[np.asarray(some) - records.start] = made
    return vectors if len(vectors) else np.zeros((len(records), 0), np.float32)


def _part(folder: Path, number: int, total: int) -> Path:
    return folder / f"part-{number:05d}-of-{total:05d}.npy"


def _write(path: Path, vectors: Float[np.ndarray, "n d"], key: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        np.save(file, vectors)
    temporary.replace(path)
    write_json(path.with_suffix(".json"), {**key, "sha256": sha256(path)})


def _report(path: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """What a finished part says of itself; None where it has to be made."""
    try:
        report = json.loads(path.with_suffix(".json").read_text())
        same = all(report[name] == value for name, value in key.items())
        return report if same and sha256(path) == report["sha256"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _same_key(folder: Path, key: dict[str, Any]) -> None:
    """Refuses to mix two encoders or windows under one name."""
    for path in sorted(folder.glob("*.json")):
        try:
            values = json.loads(path.read_text())
            changed = [f"{n} {values[n]}, now {v}" for n, v in key.items() if values[n] != v]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if changed:
            message = f"{folder} holds embeddings made with {', '.join(changed)}"
            raise ConfigError(f"{message}: give another --name, or delete it")
