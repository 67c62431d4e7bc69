"""What a checkpoint says of itself, and whether it is true.

The manifest is JSON: dtype, shape and digest of every array by its path, the sha256 of the other
JSON items, and a seal, the sha256 of all this. A manifest whose seal is whole can be trusted: then
another tree than the one asked for is another model, and not damage.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PyTree

from gmsdi_jax import __version__
from gmsdi_jax.errors import UnavailableError
from gmsdi_jax.train.checkpoint.agreement import DamageError
from gmsdi_jax.train.checkpoint.store import MANIFEST
from gmsdi_jax.train.digest import digests, kind, named_leaves

FORMAT = 1
"""Raised when the layout of a checkpoint changes."""

Json = dict[str, Any]


@dataclass(frozen=True)
class About:
    """What a run wants to be remembered in each of its checkpoints."""

    seed: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    """The whole configuration, as plain JSON values without secrets."""
    data: str | None = None
    """A fingerprint of the data set."""

    def item(self, step: int, score: float | None) -> Json:
        """The JSON that is saved with `step`."""
        return {
            "format": FORMAT,
            "step": step,
            "seed": self.seed,
            "config": dict(self.config),
            "data": self.data,
            "score": score,
            "version": __version__,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }


def make_manifest(state: PyTree, items: Mapping[str, Json]) -> Json:
    """The manifest of arrays on the devices and of JSON items by name."""
    named, found = named_leaves(state), digests(state)
    manifest = {
        "format": FORMAT,
        "leaves": {path: [kind(leaf), found[path]] for path, leaf in named.items()},
        "items": {name: _sha256(item) for name, item in items.items()},
    }
    return {**manifest, "seal": _sha256(manifest)}


def check_items(items: Mapping[str, Any], path: Path) -> None:
    """Whether the JSON items of a checkpoint, the manifest among them, are those that were saved.

    Raises:
        DamageError: they are not.
        UnavailableError: another version wrote them.
    """
    manifest = items[MANIFEST]
    if not isinstance(manifest, dict):
        raise DamageError("its manifest is damaged")
    unsealed = {key: value for key, value in manifest.items() if key != "seal"}
    if manifest.get("seal") != _sha256(unsealed):
        raise DamageError("its manifest is damaged")
    if manifest["format"] != FORMAT:
        raise UnavailableError(
            f"{path}: the checkpoint has format {manifest['format']}, and gmsdi_jax {__version__} "
            f"reads {FORMAT}: use the version that wrote it"
        )
    for name, item in items.items():
        if name != MANIFEST and manifest["items"].get(name) != _sha256(item):
            raise DamageError(f"its {name} is damaged")


def mismatches(manifest: Json, like: Mapping[str, PyTree], part: bool = False) -> list[str]:
    """Where a tree differs from the saved one: ``PATH is KIND, was KIND``, sorted.

    Args:
        manifest: a checked one.
        like: arrays or shapes by the names of the state's fields.
        part: `like` holds some fields only; the others may be anything.
    """
    here = {path: kind(leaf) for path, leaf in named_leaves(like).items()}
    saved = {
        path: entry[0]
        for path, entry in manifest["leaves"].items()
        if not part or path.split("/")[0] in like
    }
    return [
        f"{path} is {here.get(path, 'absent')}, was {saved.get(path, 'absent')}"
        for path in sorted({*here, *saved})
        if here.get(path) != saved.get(path)
    ]


def check_complete(manifest: Json, state: Mapping[str, PyTree], part: bool = False) -> None:
    """Whether every array was read; Orbax leaves those alone that it does not find.

    Raises:
        DamageError: some were not; the message names the first.
    """
    named = named_leaves(state)
    unread = [path for path, leaf in named.items() if isinstance(leaf, jax.ShapeDtypeStruct)]
    if unread := unread or mismatches(manifest, state, part):
        raise DamageError(f"{unread[0]} cannot be read")


def check_state(manifest: Json, state: PyTree) -> None:
    """Whether restored arrays, all or some fields, are those that were saved.

    Raises:
        DamageError: some are not; the message names the first.
    """
    leaves = manifest["leaves"]
    wrong = [path for path, digest in digests(state).items() if leaves[path][1] != digest]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise DamageError(f"{wrong[0]}{more} has other values than were saved")


def _sha256(item: Any) -> str:
    text = json.dumps(item, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
