"""Tables that pair the names of published weights with ours, read in both directions.

A `Rule` pairs one pattern of theirs with one of ours:

    Rule("encoder.block.{i}.layer.1.DenseReluDense.wo.weight", "blocks.{i}.down.kernel", LINEAR)

``{i}`` stands for a number and must occur on both sides. ``layers[{i}].up.kernel`` says that ours
is one array whose first axis counts the layers, as `jax.lax.scan` wants it. Where theirs is a tuple
of patterns, ours is those arrays joined along their first axis, their outputs: query, key and value
become one matrix. Nothing is computed, so there and back again is the same bit for bit.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]


class Layout(NamedTuple):
    """How the axes of one kind of weight are ordered there and here."""

    to_ours: Callable[[np.ndarray], np.ndarray]
    to_theirs: Callable[[np.ndarray], np.ndarray]


SAME = Layout(lambda a: a, lambda a: a)
LINEAR = Layout(lambda a: a.T, lambda a: a.T)
"""PyTorch's [out, in] to [in, out]."""
POINTWISE = Layout(lambda a: a[..., 0].T, lambda a: a.T[..., None])
"""A convolution of one tap [out, in, 1] to a matrix [in, out]."""
CONV = Layout(lambda a: a.transpose(2, 1, 0), lambda a: a.transpose(2, 1, 0))
"""[out, in, taps] to [taps, in, out]."""
CONV2D = Layout(lambda a: a.transpose(2, 3, 1, 0), lambda a: a.transpose(3, 2, 0, 1))
"""[out, in, height, width] to [height, width, in, out]."""


class Rule(NamedTuple):
    """Which of their arrays become which of ours, and how; see the module."""

    theirs: str | tuple[str, ...]
    ours: str
    layout: Layout = SAME


class Converted(NamedTuple):
    """Arrays under our names, and what of theirs no rule spoke of."""

    arrays: Arrays
    unknown: list[str]


def to_ours(theirs: Mapping[str, np.ndarray], rules: Sequence[Rule]) -> Converted:
    """Their arrays under our flat names; what is missing or misshapen is for the caller to judge.

    Raises:
        ValueError: an array has not the number of axes that its rule expects, or of a tuple or a
            stack only some are there or some are larger; the message names it.
    """
    arrays, stacks, used = {}, {}, set()
    for rule in rules:
        names = _several(rule.theirs)
        for numbers in filter(None, map(re.compile(_regex(names[0])).fullmatch, theirs)):
            name = numbers[0]
            group = [_fill(pattern, numbers.groupdict()) for pattern in names]
            absent = [member for member in group if member not in theirs]
            if absent:
                raise ValueError(f"{absent[0]} is missing beside {name}")
            used.update(group)
            value = _laid_out(name, [theirs[member] for member in group], rule.layout)
            ours = _fill(rule.ours, numbers.groupdict())
            stack = re.fullmatch(r"(.*)\[(\d+)\](.*)", ours)
            if stack:
                key = stack[1] + stack[3]
                stacks.setdefault(key, {})[int(stack[2])] = value
            else:
                arrays[ours] = value
    while stacks:  # each is let go when it is stacked, so that none of them is there twice for long
        key, members = stacks.popitem()
        if sorted(members) != list(range(len(members))):
            raise ValueError(f"layers {sorted(members)} of {key} are there: some are missing")
        if len({part.shape for part in members.values()}) > 1:
            raise ValueError(f"the layers of {key} have different shapes")
        arrays[key] = np.stack([members[i] for i in range(len(members))])
    return Converted(arrays, sorted(set(theirs) - used))


def to_theirs(ours: Mapping[str, np.ndarray], rules: Sequence[Rule]) -> Arrays:
    """Our arrays under their names: the inverse of `to_ours`.

    Raises:
        KeyError: no rule speaks of an array of ours; the message names it.
    """
    arrays = {}
    for name, value in ours.items():
        rule, numbers = _rule_of(name, rules)
        stacked = re.search(r"\[\{(\w+)\}\]", rule.ours)
        layers = [({stacked[1]: i}, part) for i, part in enumerate(value)] if stacked else None
        for more, part in layers or [({}, value)]:
            names = [_fill(pattern, {**numbers, **more}) for pattern in _several(rule.theirs)]
            parts = np.split(rule.layout.to_theirs(part), len(names))
            arrays |= dict(zip(names, map(_in_order, parts), strict=True))
    return arrays


def names_of(ours: str, rules: Sequence[Rule]) -> list[str]:
    """What an array of ours is called there, ``*`` for every layer; nothing where no rule says."""
    try:
        rule, numbers = _rule_of(ours, rules)
    except KeyError:
        return []
    return [_fill(pattern, defaultdict(lambda: "*", numbers)) for pattern in _several(rule.theirs)]


def _rule_of(name: str, rules: Sequence[Rule]) -> tuple[Rule, dict[str, str]]:
    for rule in rules:
        match = re.fullmatch(_regex(re.sub(r"\[\{\w+\}\]", "", rule.ours)), name)
        if match:
            return rule, match.groupdict()
    raise KeyError(f"{name} has no name in that format")


def _laid_out(name: str, group: Sequence[np.ndarray], layout: Layout) -> np.ndarray:
    joined = np.concatenate(group) if len(group) > 1 else group[0]
    try:
        return _in_order(layout.to_ours(joined))
    except (ValueError, IndexError) as error:
        raise ValueError(f"{name} has shape {joined.shape}, which does not fit ({error})") from None


def _in_order(array: np.ndarray) -> np.ndarray:
    """The same numbers, lying in memory as they are read."""
    return np.asarray(array, order="C")


def _several(theirs: str | tuple[str, ...]) -> tuple[str, ...]:
    return (theirs,) if isinstance(theirs, str) else theirs


def _regex(pattern: str) -> str:
    """A pattern as a regular expression with one named group of digits per placeholder."""
    parts = re.split(r"\{(\w+)\}", pattern)
    texts = [re.escape(text) for text in parts[::2]]
    groups = [rf"(?P<{name}>\d+)" for name in parts[1::2]] + [""]
    return "".join(text + group for text, group in zip(texts, groups, strict=True))


def _fill(pattern: str, numbers: Mapping[str, object]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: str(numbers[match[1]]), pattern)
