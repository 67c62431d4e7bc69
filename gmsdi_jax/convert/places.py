"""Where in a file the weights are: a checkpoint holds much else, and sometimes weights twice.

A *place* is the path of keys to a dict of arrays, such as ``state_dict`` or ``ema.model``; the
empty one is the file itself. A key that is no place may be what names start with:
``--key generator`` takes ``generator.conv.weight`` and its like, without ``generator.``.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from gmsdi_jax.convert.names import Arrays
from gmsdi_jax.convert.pickles import Foreign
from gmsdi_jax.convert.tensors import entries_of, is_array
from gmsdi_jax.errors import ConfigError

PREFERRED = ("", "state_dict", "model_state_dict", "model", "module", "net", "ema")
"""Where weights usually are, the likeliest first."""
NO_WEIGHTS = ("optimizer", "scheduler", "lr_scheduler", "scaler", "loops", "callbacks")
"""Beginnings of keys below which arrays are something else."""
DEPTH = 3
"""Keys in a path, at most."""
V = TypeVar("V")


class State(NamedTuple):
    """The weights of a file, and what else it says."""

    arrays: Arrays
    """By their names; views of the file, in its types."""
    told: dict[str, Any]
    """Settings of the network, as far as they are numbers and words."""
    others: list[str]
    """Further places where there are weights."""


def chosen(tree: Any, key: str | None) -> tuple[dict[str, Any], list[str]]:
    """Arrays, not yet read, by their names, and the places of others.

    Raises:
        ValueError: there are no arrays.
        ConfigError: none below `key`, or at several places when none is given.
    """
    entries = entries_of(tree)
    if entries is None:
        raise ValueError(_no_dict(tree))
    found = {place: held for place, held in _holders(tree, (), set())}
    likely = [place for place in PREFERRED if place in found]
    likely += [place for name in PREFERRED for place in found if place.startswith(f"{name}.")]
    places = list(dict.fromkeys([*likely, *found]))
    if not places:
        keys = ", ".join(str(name) for name in list(entries)[:5])
        raise ValueError(f"holds no weights; its keys are {keys or 'none'}")
    if key is None:
        if not likely and len(places) > 1:
            raise ConfigError(f"there are weights below {', '.join(places)}: choose with --key")
        return found[places[0]], places[1:]
    if key in found:
        return found[key], []
    return below(found[places[0]], key, places), []


def below(arrays: Mapping[str, V], key: str, places: list[str] | None = None) -> dict[str, V]:
    """What has a name that starts with `key` and a dot, without them.

    Raises:
        ConfigError: nothing has.
    """
    start = key.removesuffix(".") + "."
    found = {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}
    if not found:
        first = sorted({name.split(".")[0] for name in arrays})
        known = [*filter(None, places or ()), *first]
        raise ConfigError(f"no weights below {key!r}; there are {', '.join(known[:8])}")
    return found


def _holders(
    node: Any, path: tuple[str, ...], seen: set[int]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every place with arrays, and those by name; what occurs twice is looked at once."""
    if id(node) in seen or len(path) > DEPTH:
        return
    seen.add(id(node))
    entries = entries_of(node) or {}
    arrays = {n: a for n, a in entries.items() if isinstance(n, str) and is_array(a)}
    if arrays:
        yield ".".join(path), arrays
        return
    for name, inner in entries.items():
        if isinstance(name, str) and not name.startswith(NO_WEIGHTS):
            yield from _holders(inner, (*path, name), seen)


def _no_dict(tree: Any) -> str:
    """Why a pickle without a dict is of no use."""
    if isinstance(tree, Foreign):
        return (
            f"holds an object of {tree.name}, which its own code alone can read; where that runs, "
            "save its state_dict()"
        )
    return f"holds a {type(tree).__name__}, no weights"
