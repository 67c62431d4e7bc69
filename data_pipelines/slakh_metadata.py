"""``metadata.yaml`` of a Slakh track, read with the mistrust that a file from elsewhere deserves.

YAML can do more than metadata needs: a hundred bytes of aliases that stand for aliases unfold to
gigabytes, and nesting without end overflows the stack of the parser in C. So the file is first run
through as a stream of events, which costs no memory, and refused if it holds what no metadata does.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from data_pipelines.text_files import read_text
from gmsdi_jax.errors import InputError

MAX_BYTES = 2**20
"""Real ones have some 10 kB."""
MAX_DEPTH = 20
"""Real ones are three levels deep."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KEY = re.compile(r"\w{1,64}", re.ASCII)


@dataclass(frozen=True)
class StemEntry:
    """What the metadata says of one stem."""

    key: str
    """Name of its files without the ending, such as S03."""
    inst_class: str
    """Its class; ``Drums`` for whatever is marked as drums."""
    rendered: bool
    """Whether it claims to have audio. False proves nothing: BabySlakh says so of all stems."""


def stem_entries(path: Path) -> list[StemEntry]:
    """The stems of a ``metadata.yaml``, by key.

    Raises:
        InputError: It is not the metadata of a track.
    """
    try:
        text = read_text(path, MAX_BYTES)
        _check_events(text)
        stems = yaml.load(text, Loader=_Loader)["stems"]
        return [_entry(key, stems[key]) for key in sorted(stems, key=str)]
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
        message = f"{path} is not the metadata of a track ({reason}): download the track again"
        raise InputError(message) from error


def _check_events(text: str) -> None:
    """Refuses aliases and deep nesting before anything is built of them.

    Raises:
        ValueError: There are such.
        YAMLError: It is no YAML.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"an alias in line {event.start_mark.line + 1}")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError("nested too deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _entry(key: object, fields: Any) -> StemEntry:
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise ValueError(f"a stem is called {str(key)[:60]!r}")
    if not isinstance(fields, dict):
        raise ValueError(f"{key} is not a mapping")
    inst_class = "Drums" if fields.get("is_drum") else fields.get("inst_class")
    if not isinstance(inst_class, str):
        raise ValueError(f"{key} has no inst_class")
    rendered = fields.get("audio_rendered") is True and fields.get("plugin_name") != "None"
    return StemEntry(key, inst_class, rendered)
