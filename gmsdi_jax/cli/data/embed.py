"""``gmsdi data embed``: CLAP embeddings of all windows of prepared data, ahead of training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from tyro.conf import Positional, arg

from gmsdi_jax.cli.data.splits import splits_in
from gmsdi_jax.cli.options import Quiet, parse
from gmsdi_jax.console import Console
from gmsdi_jax.data import open_split, write_embeddings
from gmsdi_jax.encoders import ClapEncoder
from gmsdi_jax.errors import GMSDIError, InputError, UnavailableError


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """Embed every window of prepared data with CLAP, on all devices of this machine.

    Train on them with --windows.embeddings NAME. A run that was stopped goes on with the next file.
    Prints the folders of embeddings that are complete.
    """

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """One split, or the folder that holds the splits."""
    encoder: Annotated[Path, arg(metavar="FOLDER")]
    """Folder of the CLAP encoder, made by gmsdi convert."""
    window: int = 2**19
    """Samples per window, the model's."""
    name: str = "clap"
    """What these embeddings are called."""
    share: tuple[int, int] = (0, 1)
    """Which share of the work this process does, of how many: 2 8 is the third of eight."""
    quiet: Quiet = False
    """Say nothing but errors."""


def embed(arguments: Sequence[str], console: Console) -> int:
    """Runs the command and returns its exit code, 3 or 4 if a split is damaged or not whole."""
    options = parse(EmbedOptions, "data embed", arguments)
    console.quiet = options.quiet
    prepared = splits_in(options.folder)
    if not prepared:
        message = f"{options.folder} holds no prepared data: run gmsdi data jamendo SRC OUT"
        raise UnavailableError(message)
    encoder = ClapEncoder.from_folder(options.encoder)
    failures: list[GMSDIError] = []
    for place in prepared:
        try:
            _embed_split(place, options, encoder, console)
        except (InputError, UnavailableError) as error:
            console.error(error)
            failures.append(error)
    return max((error.exit_code for error in failures), default=0)


def _embed_split(
    place: Path, options: EmbedOptions, encoder: ClapEncoder, console: Console
) -> None:
    split = open_split(place)
    rate = split.manifest.settings.sample_rate
    with console.progress(f"embed {place.name}", "records") as advance:
        complete = write_embeddings(
            split,
            options.name,
            options.window,
            encoder.digest,
            lambda audio: np.asarray(encoder.audio(audio, rate).embedding)[:, 0],
            share=options.share,
            on_progress=lambda done, total: advance(done, total, ""),
        )
    if complete:
        print(place / "embeddings" / options.name, flush=True)
    else:
        console.say(f"{place.name}: other shares are still to be made")
