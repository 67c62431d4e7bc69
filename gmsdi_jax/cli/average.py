"""``gmsdi average``: a model of a run's averaged weights, of the length that is asked for."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from gmsdi_jax.build import Model
from gmsdi_jax.cli.folders import without_leftovers
from gmsdi_jax.cli.options import Out, Quiet, parse
from gmsdi_jax.config import ModelConfig, model_from_json
from gmsdi_jax.console import Console
from gmsdi_jax.encoders import BOOK
from gmsdi_jax.errors import ConfigError, OutputError, UnavailableError
from gmsdi_jax.evaluate import STATIC
from gmsdi_jax.train.averages import average_of
from gmsdi_jax.train.checkpoint import Checkpoints
from gmsdi_jax.types import Params
from gmsdi_jax.weights import save_model


@dataclass(frozen=True, kw_only=True)
class Average:
    """Make a model for -m of a run's averaged weights, whether the run has ended or not.

    The length of the average can be chosen after training (EDM2), for a run that wrote snapshots
    (--averages.widths 0.05 0.1); evaluate a few and keep the best. Prints the model's folder.
    """

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """Folder of a run."""
    width: Annotated[float | None, arg(metavar="W", help_behavior_hint="")] = None
    """Standard deviation of the average's profile relative to the training so far, such as 0.08;
    by default the run's usual average, of its newest checkpoint."""
    step: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Snapshot at which the average ends, with --width; by default the last one."""
    out: Out
    """Folder of the model; must be new."""
    quiet: Quiet = False
    """Say nothing but errors."""


def average(arguments: Sequence[str], console: Console) -> int:
    """Runs the command and returns its exit code."""
    options = parse(Average, "average", arguments)
    console.quiet = options.quiet
    if options.step is not None and options.width is None:
        raise ConfigError("--step belongs to --width: the usual average is the newest checkpoint's")
    if options.out.exists():
        raise ConfigError(f"{options.out} exists: name a new folder with --out")
    config = _config_of(options.run)
    params = _params(options, config, console)
    with without_leftovers(options.out):
        save_model(options.out, config, params)
        for name in (BOOK, STATIC):
            _copy(options.run / "best" / name, options.out)
    print(options.out, flush=True)
    return 0


def _params(options: Average, config: ModelConfig, console: Console) -> Params:
    shapes = Model(config).shapes
    if options.width is not None:
        folder = options.run / "averages"
        return average_of(folder, options.width, options.step, shapes)
    folder = options.run / "checkpoints"
    if not folder.is_dir():
        raise UnavailableError(f"{folder}: no checkpoints here; the run has not saved yet")
    return Checkpoints(folder, write=False, on_event=console.say).restore_ema(shapes)


def _config_of(run: Path) -> ModelConfig:
    path = run / "config.json"
    try:
        values = json.loads(path.read_text())["model"]
    except FileNotFoundError:
        raise UnavailableError(f"{path} is missing: name the folder of a run") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: not the configuration of a run ({error})") from error
    return model_from_json(values)


def _copy(path: Path, folder: Path) -> None:
    """What belongs to the model and lies beside the best one, where there is such a file."""
    if not path.is_file():
        return
    try:
        shutil.copy(path, folder / path.name)
    except OSError as error:
        raise OutputError(f"{folder}: cannot write the model ({error.strerror})") from error
