"""From published weights to our configuration and arrays, or to one line that says why not.

The file is read (`files`), its format recognised by names that no other has, and everything the
format's table of names does not explain is an error: a weight too many or too few, or of another
shape, is never passed over.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gmsdi_jax import __version__
from gmsdi_jax.arrays import digest, flatten
from gmsdi_jax.convert.files import Weights, read_weights
from gmsdi_jax.convert.format import Format
from gmsdi_jax.convert.formats import FORMATS, named
from gmsdi_jax.convert.names import Arrays, Converted, Rule, names_of, to_ours
from gmsdi_jax.errors import ConfigError, UnavailableError

LISTED = 5
"""Differences that a message names."""


class Conversion(NamedTuple):
    """Published weights under our names."""

    format: Format
    """What was recognised."""
    config: Any
    """Our configuration of the network, of the type that the format makes."""
    arrays: Arrays
    """Float32, by our flat names."""
    told: dict[str, Any]
    """Settings that the file or a config.json beside it names."""
    provenance: dict[str, str]
    """Where the weights come from, to be kept beside them."""
    notes: list[str]
    """What the user should know, one line each."""


def convert(source: Path, format: str | None = None, key: str | None = None) -> Conversion:
    """Published weights as this library has them.

    Args:
        source: a file, or a folder of Hugging Face's.
        format: its name; recognised where None.
        key: where in the file the weights are, or what their names start with.

    Raises:
        UnavailableError: the weights are damaged, of no known format, or do not fit it.
        ConfigError: `format` or `key` is unknown, or several fit.
    """
    kinds = FORMATS if format is None else (named(format),)
    weights = read_weights(source, key)
    try:
        arrays, start = _without_common_start(weights.arrays, kinds)
        kind = kinds[0] if format else _recognised(arrays)
        arrays = _own(arrays, kind)
        config, ours, found = _fitted(arrays, kind, weights.told)
        if found:
            raise ValueError(f"does not fit {kind.holds}: {_first(found)}{_cause(found, weights)}")
        ours = {name: _float32(name, array) for name, array in ours.items()}
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    except ValueError as error:
        raise UnavailableError(f"{source}: {error}") from error
    notes = [f"all names start with {start}, which was left out"] if start else []
    if weights.others:
        notes.append(f"there are other weights below {', '.join(weights.others)}: --key takes them")
    return Conversion(kind, config, ours, weights.told, _provenance(weights, kind), notes)


def _recognised(names: Collection[str]) -> Format:
    """The only format whose marks are all there."""
    found = _fitting(names, FORMATS)
    if len(found) > 1:
        kinds = ", ".join(kind.name for kind in found)
        raise ConfigError(f"may be any of {kinds}: choose with --format")
    if not found:
        some = ", ".join(sorted(names)[:LISTED])
        kinds = ", ".join(kind.name for kind in FORMATS)
        raise ValueError(f"no format that is known here has such names: {some} (known: {kinds})")
    return found[0]


def _fitting(names: Collection[str], kinds: Iterable[Format]) -> list[Format]:
    return [
        kind
        for kind in kinds
        if all(any(map(re.compile(mark).fullmatch, names)) for mark in kind.marks)
    ]


def _without_common_start(arrays: Arrays, kinds: Sequence[Format]) -> tuple[Arrays, str]:
    """Where a format fits only without what all names start with: the arrays without, and that."""
    start, shorter = "", arrays
    while not _fitting(shorter, kinds):
        starts = {name.partition(".")[0] for name in shorter}
        if len(starts) != 1 or "" in shorter:
            return arrays, ""
        start += starts.pop() + "."
        shorter = {name.partition(".")[2]: array for name, array in shorter.items()}
    return shorter, start


def _own(arrays: Arrays, kind: Format) -> Arrays:
    """The arrays that count, without prefix; copies must be equal to their originals."""
    ignored = re.compile(
        "|".join(f"(?:{pattern})" for pattern in kind.ignored) or r"(?!)"
    ).fullmatch

    def counts(name: str) -> bool:
        return not any(ignored(name.removeprefix(prefix)) for prefix in ("", *kind.prefixes))

    kept = [name for name in arrays if counts(name)]
    prefix = next((p for p in kind.prefixes if any(name.startswith(p) for name in kept)), "")
    own = {name.removeprefix(prefix): arrays[name] for name in kept}
    for copy, original in kind.copies.items():
        if copy in own and original in own:
            _check_equal(copy, own[copy], original, own[original])
            del own[copy]
        elif copy in own:
            own[original] = own.pop(copy)
    for name in arrays.keys() - set(kept):
        original = _original(name, own)
        if original:
            _check_equal(name, arrays[name], prefix + original, own[original])
    return own


def _original(copy: str, own: Mapping[str, np.ndarray]) -> str:
    """The whole name in which that of an ignored copy ends, as ``diffusion.net.NAME`` does."""
    parts = copy.split(".")
    ends = (".".join(parts[i:]) for i in range(1, len(parts)))
    return next((end for end in ends if end in own), "")


def _check_equal(copy: str, a: np.ndarray, original: str, b: np.ndarray) -> None:
    same = a.shape == b.shape and a.dtype == b.dtype
    shared = same and a.__array_interface__["data"] == b.__array_interface__["data"]
    if not shared and not (same and np.array_equal(_bits(a), _bits(b))):
        raise ConfigError(f"{copy} and {original} should be the same but differ: choose one with "
                          f"--key, such as {original.split('.')[0]}")  # fmt: skip


def _bits(array: np.ndarray) -> np.ndarray:
    """As integers: numbers that are none (NaN) are equal to themselves then."""
    return array.view(f"u{array.dtype.itemsize}")


def _fitted(arrays: Arrays, kind: Format, told: Mapping[str, Any]) -> tuple[Any, Arrays, list[str]]:
    """Our configuration and arrays, and all that does not fit."""
    try:
        config = kind.config({name: array.shape for name, array in arrays.items()}, told)
        wanted = {name: leaf.shape for name, leaf in flatten(kind.shapes(config)).items()}
        rules = kind.rules(config)
        converted = to_ours(arrays, rules)
        return config, converted.arrays, _differences(converted, wanted, rules)
    except ValueError as error:
        return None, {}, [str(error)]
    except (KeyError, IndexError, TypeError, ZeroDivisionError) as error:
        return None, {}, [f"its sizes make no sense ({type(error).__name__}: {error})"]


def _differences(
    converted: Converted, wanted: Mapping[str, tuple[int, ...]], rules: Sequence[Rule]
) -> list[str]:
    """What is missing, unknown or misshapen, under their names where they have one."""

    def called(ours: str) -> str:
        return (names_of(ours, rules) or [ours])[0]

    got = converted.arrays
    return [
        *(f"{called(name)} is missing" for name in sorted(wanted.keys() - got.keys())),
        *(f"{name} is unknown" for name in converted.unknown),
        *(f"{called(name)} is unknown" for name in sorted(got.keys() - wanted.keys())),
        *(
            f"{called(name)} gives {name} the shape {got[name].shape}, not {wanted[name]}"
            for name in sorted(wanted.keys() & got.keys())
            if got[name].shape != wanted[name]
        ),
    ]


def _first(found: Sequence[str]) -> str:
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return "; ".join(found[:LISTED]) + more


def _cause(found: Sequence[str], weights: Weights) -> str:
    """The likely reason of the differences, where there is one."""
    unknown = [line.split(".")[0] for line in found if line.endswith(" is unknown")]
    missing = [line for line in found if line.endswith(" is missing")]
    if missing and re.search(r"-\d+-of-\d+\.", weights.files[0].name):
        return ". This is one of several files: name their folder"
    if len(found) == len(unknown) and len(set(unknown)) == 1:
        return (f". All of these start with {unknown[0]}.: a second network? Take the other with "
                "--key")  # fmt: skip
    if len(missing) > len(weights.arrays) / 3:
        return ". Many are missing: is the file whole?"
    return ""


def _float32(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fV":  # V: bfloat16, which NumPy has no letter for
        raise ValueError(f"{name} would be of {array.dtype}: weights are floating-point numbers")
    return array.astype(np.float32, copy=False)


def _provenance(weights: Weights, kind: Format) -> dict[str, str]:
    return {
        "source": ", ".join(path.name for path in weights.files),
        "source_sha256": ", ".join(map(digest, weights.files)),
        "published_as": kind.name,
        "gmsdi_jax": __version__,
    }
