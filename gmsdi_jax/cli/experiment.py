"""Experiments are Python files: a run, or a sweep, is what one function of the file returns."""

import importlib.util
from pathlib import Path
from typing import TypeVar

from gmsdi_jax.errors import ConfigError, GMSDIError

T = TypeVar("T")


def declared(path: Path, function: str, kind: type[T]) -> T:
    """What a function of an experiment file returns.

    Args:
        path: the file; it is executed.
        function: its name; it takes nothing.
        kind: of what it must return.

    Raises:
        ConfigError: there is no such file or function, it fails, or it returns something else.
    """
    if not path.is_file():
        raise ConfigError(f"{path} does not exist: name an experiment file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        found = getattr(module, function)()
    except GMSDIError:
        raise
    except Exception as error:
        raise ConfigError(f"{path}: {type(error).__name__}: {error}") from error
    if not isinstance(found, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise ConfigError(
            f"{path}: {function}() returns {type(found).__name__}, not {article} {kind.__name__}"
        )
    return found
