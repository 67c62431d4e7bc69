"""The command line: ``gmsdi COMMAND ...``.

Results go to stdout, everything else to stderr. Every failure is one line that names the file or
flag and the fix, and has an exit code (`gmsdi_jax.errors`):

====  ==================================  ====  ============================================
0     done                                70    a computation gave NaN
1     unexpected error                    74    a result could not be written
2     a flag or a setting is wrong        130   interrupted (Ctrl-C)
3     some inputs failed, others done       75    a run hung, and told where
4     a model or data is not there          85    a run was told to stop, and saved
====  ==================================  ====  ============================================

A command's module is imported when it is asked for: ``gmsdi --help`` loads neither JAX nor tyro.
"""

import difflib
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from gmsdi_jax import __version__
from gmsdi_jax.console import Console
from gmsdi_jax.errors import ConfigError, GMSDIError, OutputError

INTERRUPTED = 130


class Command(NamedTuple):
    """Where a command is, as module and function, and what it does."""

    module: str
    function: str
    summary: str


COMMANDS = {
    "separate": Command("separate", "separate", "songs into stems"),
    "generate": Command("generate", "generate", "stems that play together, from their names"),
    "accompany": Command("generate", "accompany", "stems that go with given ones"),
    "evaluate": Command(
        "evaluate", "evaluate", "score methods on prepared songs, or folders of stems"
    ),
    "distance": Command("distance", "distance", "how near generated music is to real music"),
    "sweep": Command("sweep", "sweep", "a table of many settings, from one file"),
    "choose": Command("choose", "choose", "a model's constrained source and negative prompts"),
    "report": Command("report", "report", "an evaluation to read, to hear and to vote on"),
    "train": Command("train", "train", "a model, from an experiment file"),
    "average": Command("average", "average", "a model of a run's averaged weights"),
    "goodput": Command("goodput", "goodput", "where the time of a training run went"),
    "data minislakh": Command("data.minislakh", "minislakh", "render a synthetic Slakh"),
    "data download": Command("data.download", "download", "fetch Slakh2100 or MTG-Jamendo"),
    "data slakh": Command("data.prepare", "slakh", "prepare Slakh2100 for training"),
    "data jamendo": Command("data.prepare", "jamendo", "prepare MTG-Jamendo for training"),
    "data folder": Command("data.prepare", "folder", "prepare your own audio for training"),
    "data embed": Command("data.embed", "embed", "CLAP embeddings of prepared data"),
    "data inspect": Command("data.inspect", "inspect", "what prepared data holds, and is it whole"),
    "convert": Command("convert", "convert", "published weights to a folder for -m or --encoder"),
    "export": Command("convert", "export", "a folder's weights to a PyTorch state dict"),
    "models": Command("about", "models", "what a model folder holds"),
    "env": Command("about", "env", "versions and devices, for bug reports"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    console = Console(debug="--debug" in arguments)
    _pass_file_names_through()
    try:
        code = _run([argument for argument in arguments if argument != "--debug"], console)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # how tyro ends after --help (0) and after a usage error (2)
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        console.say("gmsdi: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read stdout is gone; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OutputError.exit_code
    except GMSDIError as error:
        console.error(error)
        return error.exit_code
    except Exception as error:
        hint = "" if console.debug else " (run again with --debug for the trace)"
        console.error(error, f"unexpected error: {type(error).__name__}", hint)
        return GMSDIError.exit_code


def _run(arguments: list[str], console: Console) -> int:
    """Finds the command, of one word or two, and hands it its arguments."""
    if not arguments:
        print(_overview(), file=sys.stderr)
        return ConfigError.exit_code
    if arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if arguments[0] == "--version":
        print(f"gmsdi {__version__}")
        return 0
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS:
            command = COMMANDS[name]
            module = importlib.import_module(f"gmsdi_jax.cli.{command.module}")
            return getattr(module, command.function)(arguments[words:], console)
    if arguments[0] == "data" and set(arguments[1:]) <= {"-h", "--help"}:
        print(_overview("data "), file=sys.stderr if len(arguments) == 1 else sys.stdout)
        return ConfigError.exit_code if len(arguments) == 1 else 0
    raise _unknown(arguments)


def _overview(prefix: str = "") -> str:
    """The commands whose names start with `prefix`, one line each."""
    lines = [
        f"  {name:<16}{command.summary}"
        for name, command in COMMANDS.items()
        if name.startswith(prefix)
    ]
    return "\n".join(
        [
            f"usage: gmsdi {prefix}COMMAND ...",
            "",
            "One diffusion model of music, trained on mixtures, that separates and generates.",
            "",
            *lines,
            "",
            "gmsdi COMMAND --help   the options of a command",
            "gmsdi --version        the version",
            "--debug                anywhere: show the trace of an error",
        ]
    )


def _unknown(arguments: Sequence[str]) -> ConfigError:
    typed = " ".join(arguments[:2]) if arguments[0] == "data" else arguments[0]
    close = difflib.get_close_matches(typed, COMMANDS, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(COMMANDS)}"
    return ConfigError(f"unknown command {typed!r}: {hint}")


def _pass_file_names_through() -> None:
    """Lets stdout take file names that are not valid in its encoding, as the bytes they are."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")
