"""Which songs were meant, and what each is called.

Folders are searched with all that is below them. A song is called by its file name without the
extension; songs of equal name get their folder's name in front, and a number where that is not
enough, so that no result overwrites another.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gmsdi_jax.audio import probe
from gmsdi_jax.errors import InputError

EXTENSIONS = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff"}
"""What is taken for audio in a folder; a file that is named itself may have any extension."""


class Song(NamedTuple):
    """A file, and the name of its results."""

    path: Path
    track: str


def find_songs(inputs: Sequence[Path]) -> tuple[list[Song], list[InputError]]:
    """The songs in `inputs` (files and folders), each once, and why the others are none.

    Only headers are read, so a damaged song may still be among them.
    """
    paths: dict[Path, Path] = {}
    errors: list[InputError] = []
    for place in inputs:
        found = list(_audio_in(place)) if place.is_dir() else [place]
        if not found:
            errors.append(InputError(f"{place}: no audio in this folder ({_extensions()})"))
        for path in found:
            try:
                probe(path)
            except InputError as error:
                errors.append(error)
            else:
                paths.setdefault(path.resolve(), path)
    songs = list(paths.values())
    return [Song(*pair) for pair in zip(songs, track_names(songs), strict=True)], errors


def track_names(paths: Sequence[Path]) -> list[str]:
    """A name for each path, no two equal even where case does not count."""
    short = [path.stem for path in paths]
    times = Counter(name.casefold() for name in short)
    names = [
        f"{path.resolve().parent.name}/{name}" if times[name.casefold()] > 1 else name
        for path, name in zip(paths, short, strict=True)
    ]
    taken: set[str] = set()
    for i, name in enumerate(names):
        number = 1
        while names[i].casefold() in taken:
            number += 1
            names[i] = f"{name}-{number}"
        taken.add(names[i].casefold())
    return names


def _audio_in(folder: Path) -> Iterator[Path]:
    """Audio files below `folder`, but for hidden ones and the results of earlier separations."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        result = (path.parent / "gmsdi.json").exists()
        if path.suffix.lower() in EXTENSIONS and path.is_file() and not hidden and not result:
            yield path


def _extensions() -> str:
    return ", ".join(sorted(extension[1:] for extension in EXTENSIONS))
