"""What a compiled program exchanges, read from its text (HLO).

A collective is counted once: its ``-start`` stands for the pair, and copies that the compiler makes
in computations of their own when it overlaps an exchange with other work are one. Copies have one
channel, but a channel is no name: all that are written with `jax.shard_map` may have the same. So
those of one computation are as many as there are. Inside a loop a collective counts as often as the
loop runs; loops whose length the text does not tell are named, not guessed.

Bytes are those that one device sends when the exchange goes round a ring of `n`, the least that any
algorithm needs: ``(n-1)/n`` of the whole array for a gather, a scatter and an all-to-all, twice
that for an all-reduce, all of it for a permutation. Between TPU slices the compiler writes ``send``
instead of a collective: ``dcn-all-reduce`` and its like, of which each device sends its operand to
its host once.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

_SIZES = {"pred": 1, "c64": 8, "c128": 16}
_SHAPE = re.compile(r"\b(pred|[a-z]+\d+[a-z0-9]*)\[([\d,]*)\]")
_KINDS = "all-gather|all-reduce|reduce-scatter|collective-permute|all-to-all|ragged-all-to-all"
_COLLECTIVE = re.compile(rf"= (.*?) ({_KINDS})(-start)?\(")
_SEND = re.compile(r"= \((.*?), u32\[\].* send\(.*_xla_megascale_transfer_type=\"(\w+)\"")
_CHANNEL = re.compile(r"channel_id=(\d+)")
_REDUCES = re.compile(r"to_apply=%?([\w.\-]+)")
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_CALLED = re.compile(r"\b(?:calls|to_apply|condition|body|called_computations|branch_computations)="
                     r"(?:%?([\w.\-]+)|\{([^}]*)\})")  # fmt: skip
_BODY = re.compile(r"\bbody=%?([\w.\-]+)")
_CONDITION = re.compile(r"\bcondition=%?([\w.\-]+)")
_TRIPS = re.compile(r"known_trip_count\"?:\s*\{\"?n\"?:\s*\"?(\d+)")
_BOUND = re.compile(r"%?([\w.\-]+) = s32\[\]\S* constant\((\d+)\)")


@dataclass(frozen=True)
class Traffic:
    """All collectives of one kind in a program that runs once."""

    kind: str
    """As HLO calls it; ``dcn-`` before it where it crosses slices."""
    count: int
    """How many run."""
    sent: int
    """Bytes that each device sends for them."""
    widest: int
    """Devices in the largest group."""


@dataclass(frozen=True)
class Exchange:
    """What a program exchanges."""

    kinds: tuple[Traffic, ...]
    """One per kind, the largest first."""
    open_loops: int = 0
    """Loops with a collective inside whose length the text does not tell; counted as one pass."""

    def sent(self, dcn: bool | None = None) -> int:
        """Bytes that each device sends: in all, between slices, or within one."""
        return sum(kind.sent for kind in self.kinds if dcn in (None, kind.kind.startswith("dcn-")))


def exchange(text: str) -> Exchange:
    """The collectives of a compiled program.

    Args:
        text: ``compiled.as_text()``.
    """
    computations, entry = _computations(text)
    runs, unknown = _runs(computations, entry)
    everyone = int((re.search(r"num_partitions=(\d+)", text) or [0, 1])[1])
    seen, totals, open_loops = {}, {}, set()
    for name, lines in computations.items():
        for kind, copy, sent, group in _collectives(lines, everyone):
            if runs.get(name, 0) == 0 or (copy and seen.setdefault((kind, copy), name) != name):
                continue
            open_loops |= {name} & unknown
            before = totals.get(kind, (0, 0, 0))
            times = runs[name]
            totals[kind] = (before[0] + times, before[1] + times * sent, max(before[2], group))
    kinds = sorted((Traffic(kind, *total) for kind, total in totals.items()), key=lambda k: -k.sent)
    return Exchange(tuple(kinds), len(open_loops))


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
    """The lines of each computation, and the name of the one that is run."""
    found: dict[str, list[str]] = {}
    entry, lines = "", []
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            lines = found.setdefault(head[2], [])
            entry = head[2] if head[1] else entry
        else:
            lines.append(line)
    return found, entry


def _runs(computations: dict[str, list[str]], entry: str) -> tuple[dict[str, int], set[str]]:
    """How often each computation runs, and which lie in a loop of unknown length."""
    runs, unknown, todo = {entry: 1}, set(), [entry]
    while todo:
        name = todo.pop()
        for line in computations.get(name, []):
            body = _BODY.search(line) if " while(" in line else None
            trips = _trips(line, computations) if body else 1
            for called in _called(line):
                inside = body is not None and called == body[1]
                times = runs[name] * ((trips or 1) if inside else 1)
                lost = name in unknown or (inside and trips is None)
                if times > runs.get(called, 0) or (lost and called not in unknown):
                    runs[called] = max(times, runs.get(called, 0))
                    unknown |= {called} if lost else set()
                    todo.append(called)
    return runs, unknown


def _called(line: str) -> Iterator[str]:
    for one, several in _CALLED.findall(line):
        yield from [one] if one else re.findall(r"[\w.\-]+", several)


def _trips(line: str, computations: dict[str, list[str]]) -> int | None:
    """How often a loop runs: said beside it, or the one bound that its condition compares with."""
    said = _TRIPS.search(line)
    if said:
        return int(said[1])
    condition = _CONDITION.search(line)
    lines = computations.get(condition[1], []) if condition else []
    bounds = {int(found[2]) for found in map(_BOUND.search, lines) if found}
    counted = any("direction=LT" in each for each in lines)
    return bounds.pop() if counted and len(bounds) == 1 else None


def _collectives(lines: list[str], everyone: int) -> Iterator[tuple[str, str, int, int]]:
    """Kind, what copies have in common, bytes that a device sends, devices per group, of each."""
    for line in lines:
        found, channel = _COLLECTIVE.search(line), (_CHANNEL.search(line) or ["", ""])[1]
        reduces = (_REDUCES.search(line) or ["", ""])[1].split(".clone")[0]
        copy = f"{channel} {reduces}" if channel else ""
        if found:
            kind, group = found[2], _group(line, everyone)
            whole = _whole(kind, found[1], bool(found[3]), group)
            yield kind, copy, _sent(kind, whole, group), group
        elif found := _SEND.search(line):
            yield f"dcn-{found[2].lower().replace('_', '-')}", copy, _bytes(found[1]), everyone


def _group(line: str, everyone: int) -> int:
    """Devices that exchange with each other."""
    if found := re.search(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}", line):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", found[1]))
        # An axis, or a part of one: 'axis_0', or 'axis_0':(2)4 for 4 of its devices.
        axes = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", found[2])
        return math.prod(int(part or sizes[axis]) for axis, part in axes)
    if found := re.search(r"replica_groups=\[(\d+),(\d+)\]<=", line):
        return int(found[2])
    if found := re.search(r"replica_groups=\{\{([\d,]+)\}", line):
        return found[1].count(",") + 1
    return everyone


def _whole(kind: str, result: str, start: bool, group: int) -> int:
    """Bytes of the whole array: what a group holds together, or each has after a permutation."""
    total = _bytes(result)
    if kind == "reduce-scatter":
        # A start's result is its operand, which is the whole, and the part that is left.
        return total * group // (group + 1) if start else total * group
    if start and kind == "all-gather":
        return total * group // (group + 1)
    if start and kind in ("collective-permute", "all-to-all", "ragged-all-to-all"):
        return (total - 4 * result.count("u32[]")) // 2
    return total


def _sent(kind: str, whole: int, group: int) -> int:
    if kind == "collective-permute":
        return whole
    return (2 if kind == "all-reduce" else 1) * whole * (group - 1) // group


def _bytes(shapes: str) -> int:
    """Of all shapes in a type, as ``(f32[2,3]{1,0}, bf16[])``."""
    return sum(
        math.ceil(_width(kind) * math.prod(int(size) for size in sizes.split(",") if size))
        for kind, sizes in _SHAPE.findall(shapes)
    )


def _width(kind: str) -> float:
    """Bytes of one element: f32, bf16, s4, f8e4m3fn."""
    found = re.match(r"[a-z]+(\d+)", kind)
    return _SIZES.get(kind) or (int(found[1]) / 8 if found else 0)
