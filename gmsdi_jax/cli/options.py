"""Options that several commands share, and how all of them are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro
from tyro.conf import UseAppendAction, arg

from gmsdi_jax.errors import ConfigError

T = TypeVar("T")

Stems = Annotated[
    UseAppendAction[tuple[str, ...]], arg(name="stem", aliases=["-s"], metavar="STEM")
]
ModelFolder = Annotated[Path | None, arg(aliases=["-m"], metavar="MODEL", help_behavior_hint="")]
EncoderFolder = Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")]
CompileFor = Annotated[str | None, arg(metavar="TPU", help_behavior_hint="")]
Out = Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
Quiet = Annotated[bool, arg(aliases=["-q"])]
AudioFormat = Literal["wav", "flac", "ogg", "mp3"]
NegativePrompts = Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="[STEM=]TEXT")]


def negatives_of(wishes: Sequence[str]) -> dict[str, Any]:
    """The negative prompt of all stems, and those of single ones; nothing where none is given."""
    if not wishes:
        return {}
    parts = [wish.partition("=") for wish in wishes]
    return {
        "negative": ", ".join(name for name, equals, _ in parts if not equals),
        "negatives": {name.strip(): text.strip() for name, equals, text in parts if equals},
    }


def refuse_unheard(wishes: Sequence[str], guidance: float) -> None:
    """Refuses negative prompts where nothing points away from them.

    Raises:
        ConfigError: guidance is off.
    """
    if wishes and guidance == 1:
        raise ConfigError("--negative works through guidance: add --guidance, such as 2")


def parse(options: type[T], command: str, arguments: Sequence[str], default: T | None = None) -> T:
    """The options of a command, read from its arguments.

    Args:
        options: a frozen dataclass; its fields and their docstrings are the flags and their help.
        command: its name, for the help.
        arguments: what follows the name.
        default: values that the arguments change, instead of the fields' own defaults.

    Raises:
        ConfigError: of the dataclass, where values contradict each other.
        SystemExit: after the help (0) or a usage error (2).
    """
    return tyro.cli(  # type: ignore[return-value]
        options,
        prog=f"gmsdi {command}",
        args=list(arguments),
        default=default,
        # One flag per switch; a choice of dataclasses is made by the experiment, not by a word.
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.AvoidSubcommands),
    )
