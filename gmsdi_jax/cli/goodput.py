"""``gmsdi goodput``: where the wall time of a training run went, over all its starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from gmsdi_jax.cli.options import parse
from gmsdi_jax.console import Console
from gmsdi_jax.train.observe import account


@dataclass(frozen=True, kw_only=True)
class Goodput:
    """Print which share of a training run's wall time went into steps that count, and the rest.

    Steps count if no later start had to do them again. Reads goodput.jsonl, also of a run that is
    going on.
    """

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """The folder of a run (--out of gmsdi train)."""
    json: bool = False
    """Print one JSON object."""


def goodput(arguments: Sequence[str], console: Console) -> int:
    """Runs the command and returns its exit code."""
    options = parse(Goodput, "goodput", arguments)
    found = account(options.run)
    print(found.to_json() if options.json else found, flush=True)
    return 0
