"""``gmsdi distance``: how near a folder of generated music is to a folder of real music."""

import json as json_format
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from gmsdi_jax.cli.options import Quiet, Stems, parse
from gmsdi_jax.console import Console
from gmsdi_jax.errors import ConfigError, OutputError, UnavailableError
from gmsdi_jax.generation import (
    Comparison,
    Cut,
    Listener,
    Request,
    Store,
    Variant,
    compare,
    markdown,
    open_listeners,
)
from gmsdi_jax.generation.listeners import DEFAULT_FOLDERS, HOW_TO_GET
from gmsdi_jax.generation.table import as_json

Folder = Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")]
Number = Annotated[int | None, arg(metavar="N", help_behavior_hint="")]


@dataclass(frozen=True, kw_only=True)
class DistanceOptions:
    """Compare generated with real music: FAD, FAD-infinity, KAD, CLAP score, silence, loudness.

    Folders may hold loose files, the pieces of gmsdi generate and accompany (their mix is heard),
    or a folder per song with a file per stem. Prints tables in Markdown; real : real is the
    distance of two halves of the reference. Without an encoder it measures sound alone, and exits
    with 4.
    """

    generated: Annotated[Positional[Path], arg(metavar="GENERATED")]
    """Folder of the generated audio."""
    reference: Annotated[Path, arg(aliases=["-r"], metavar="REAL")]
    """Folder of real audio."""
    encoder: Annotated[
        UseAppendAction[tuple[Path, ...]], arg(metavar="FOLDER", help_behavior_hint="")
    ] = ()
    """Folder of a VGGish or CLAP that gmsdi convert made; may be given again. By default those of
    encoders/vggish and encoders/clap that are there."""
    vggish: tuple[Variant, ...] = ("gudgud96",)
    """How VGGish is used, for each of these: gudgud96 (examples of 0.96 s, as the
    frechet-audio-distance package) or google (one every 0.5 s, audio scaled to its peak)."""
    stems: Stems = ()
    """Compare this stem, or mix, as in -s mix -s Bass; by default every file, of gmsdi's own
    folders the mix."""
    given: Folder = None
    """Folder of the stems that accompaniments by another tool were made for, by song as the
    generated ones; with -s mix both are heard together (sub-FAD)."""
    seconds: Annotated[float | None, arg(metavar="S|None")] = 12.0
    """Length of the clips that files are cut into; None takes files whole."""
    clips: Number = None
    """So many clips of each side, drawn at random; all by default."""
    seed: int = 0
    """Of the draw."""
    words: str = "{}"
    """What CLAP is asked for: {} stands for the stem's name; without {}, the words of all clips."""
    negative: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="TEXT")] = ()
    """Words of what the clips are not, besides the names of the other stems."""
    cache: Annotated[Path, arg(metavar="FOLDER")] = Path("embeddings")
    """Where embeddings are kept, by content: what was heard once is not read again."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="")] = None
    """Where distance.md and distance.json go, beside stdout."""
    json: bool = False
    """Print what distance.json holds, as one line, instead of the tables."""
    quiet: Quiet = False
    """Say nothing but errors."""

    def __post_init__(self):
        """Refuses what contradicts itself, before anything is loaded."""
        if not self.vggish:
            raise ConfigError("--vggish without a name: gudgud96 or google")
        self.request()

    def request(self) -> Request:
        """What is to be compared.

        Raises:
            ConfigError: a value is none, or a stem is named twice.
        """
        return Request(
            generated=self.generated,
            reference=self.reference,
            things=self.stems,
            given=self.given,
            cut=Cut(self.seconds, self.clips, self.seed),
            words=self.words,
            negatives=self.negative,
        )


def distance(arguments: Sequence[str], console: Console) -> int:
    """Runs the command and returns its exit code: 4 where no encoder could hear the music."""
    options = parse(DistanceOptions, "distance", arguments)
    console.quiet = options.quiet
    folders = options.encoder or [f for f in DEFAULT_FOLDERS if (f / "config.json").exists()]
    listeners = open_listeners(folders, options.vggish)
    with console.progress("listen", "clips") as advance:
        found = compare(options.request(), listeners, Store(options.cache), advance)
    values = {**_about(options, listeners), **as_json(found)}
    if options.out is not None:
        _save(options.out, found, values)
    print(json_format.dumps(values) if options.json else markdown(found), flush=True)
    if not listeners:
        console.error(UnavailableError(f"no encoder, so no distance: {HOW_TO_GET}"))
        return UnavailableError.exit_code
    return 0


def _about(options: DistanceOptions, listeners: Sequence[Listener]) -> dict[str, Any]:
    """What the numbers depend on."""
    return {
        "version": 1,
        "kind": "generation",
        "generated": str(options.generated),
        "reference": str(options.reference),
        "given": None if options.given is None else str(options.given),
        "seconds": options.seconds,
        "clips": options.clips,
        "seed": options.seed,
        "encoders": {listener.name: listener.key for listener in listeners},
    }


def _save(folder: Path, found: Comparison, values: dict[str, Any]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "distance.md").write_text(markdown(found) + "\n")
        (folder / "distance.json").write_text(json_format.dumps(values, indent=2) + "\n")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror})") from error
