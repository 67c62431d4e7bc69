"""A run's folder is claimed once: ``config.json`` says whose it is, and what may change later.

Resuming compares the configuration, key by key. What only says where things lie or how often they
are written is free. What steers the training without being part of what is trained (the optimizer,
the steps in all) may change and is told, for the curve is no longer that of one configuration.
All else, and the data, makes it another run.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gmsdi_jax.config import TrainConfig, to_json
from gmsdi_jax.distributed import is_first, wait_for_all
from gmsdi_jax.errors import ConfigError, OutputError

FREE = (
    "out", "data", "encoder", "wandb", "fsdp", "accumulate", "keep", "keep_every", "keep_best",
    "save_every", "save_minutes", "hang_minutes", "averages.every", "tensorboard", "samples",
)  # fmt: skip
"""Keys whose change leaves every number of the run what it was."""
TOLD = ("optimizer", "guard.policy", "guard.most", "steps", "log_every", "eval_every",
        "eval_windows", "model.separation")  # fmt: skip
"""Keys, and all below them, that may change and are told."""


def claim(config: TrainConfig, resume: bool, say: Callable[[str], None]) -> None:
    """Writes ``config.json``; refuses to mix two runs in one folder.

    Args:
        config: the run.
        resume: go on with the run that is there.
        say: told one line about what changed.

    Raises:
        ConfigError: there is a run and `resume` is off, or it is another one.
        OutputError: the folder cannot be written.
    """
    path, values = Path(config.out) / "config.json", to_json(config)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        begun = path.exists()
        wait_for_all("every process has looked for a run")
        if begun and not resume:
            raise ConfigError(
                f"{config.out}: holds a run; add --resume auto, or name another --out"
            )
        if begun and (changed := _told(_read(path), values, path)):
            say(f"{path}: {changed}; the curve goes on under the new values")
        wait_for_all("every process has compared the run")
        if is_first():
            new = path.with_suffix(".tmp")
            new.write_text(json.dumps(values, indent=2) + "\n")
            new.replace(path)
    except OSError as error:
        raise OutputError(f"{config.out}: cannot write the run ({error.strerror})") from error


def same_data(before: str | None, now: str | None, path: Path) -> None:
    """Refuses to go on with other data than a checkpoint was trained on, where both are known.

    Raises:
        ConfigError: the fingerprints differ.
    """
    if before and now and before != now:
        raise ConfigError(
            f"{path}: the run was trained on other data ({before[:12]}, now {now[:12]}): name its "
            "data with --data, or another --out"
        )


def _told(old: dict[str, Any], new: dict[str, Any], path: Path) -> str:
    """What changed and may; the empty string for nothing."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    changed = [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    changed = [key for key in changed if not _below(key, FREE)]

    def detail(keys: list[str]) -> str:
        each = [f"{k} was {before.get(k)!r}, is {after.get(k)!r}" for k in keys[:3]]
        return ", ".join(each) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")

    if fatal := [key for key in changed if not _below(key, TOLD)]:
        raise ConfigError(f"{path}: another run is here ({detail(fatal)}); name another --out")
    return detail(changed)


def _leaves(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield above + key, value


def _below(key: str, keys: tuple[str, ...]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in keys)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f"{path}: not valid JSON ({error}): name another --out") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: not the configuration of a run: name another --out")
    return values
