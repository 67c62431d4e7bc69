"""``gmsdi data inspect``: what prepared data holds, and whether it is whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from gmsdi_jax.cli.data.describe import describe, draw
from gmsdi_jax.cli.data.splits import splits_in
from gmsdi_jax.cli.options import parse
from gmsdi_jax.console import Console
from gmsdi_jax.data import Split, open_embeddings, open_split
from gmsdi_jax.errors import GMSDIError, InputError, UnavailableError


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Print what prepared data holds: tracks, hours, rms, and which labels play together."""

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """One split, or the folder that holds the splits."""
    verify: bool = False
    """Compare every file with its checksum and read every record; names all damage."""
    plot: Path | None = None
    """Folder for one picture per split: label sets, levels, lengths."""


def inspect(arguments: Sequence[str], console: Console) -> int:
    """Runs the command and returns its exit code, 3 if anything is damaged."""
    options = parse(Inspect, "data inspect", arguments)
    prepared = splits_in(options.folder)
    if not prepared:
        raise UnavailableError(
            f"{options.folder} holds no prepared data: run gmsdi data slakh SRC OUT"
        )
    failures: list[GMSDIError] = []
    for place in prepared:
        try:
            split = open_split(place)
        except GMSDIError as error:
            console.error(error)
            failures.append(error)
            continue
        print(describe(split.manifest), flush=True)
        if options.verify:
            found = [*map(InputError, split.damage()), *_embeddings_damage(split)]
            failures += found
            for error in found:
                console.error(error)
        if options.plot:
            options.plot.mkdir(parents=True, exist_ok=True)
            path = options.plot / f"{split.manifest.split}.png"
            draw(split, path)
            print(path, flush=True)
    if options.verify and not failures:
        console.say("all checksums are right")
    return max((error.exit_code for error in failures), default=0)


def _embeddings_damage(split: Split) -> Iterator[GMSDIError]:
    """What is wrong with the embeddings beside a split."""
    for place in sorted((split.folder / "embeddings").glob("*")):
        try:
            open_embeddings(split, place.name)
        except GMSDIError as error:
            yield error
