"""Pickles read as data: nothing that one names is imported, nothing is called.

A pickle is a program for a small machine with a stack, and Python's own machine imports and calls
whatever the program names; that is how a file of weights can run commands. The machine here builds
plain values only: numbers, strings, tuples, lists, dicts. The name of a class or function becomes a
`Foreign`, and so does what calling it would have made: its arguments and its state are noted, and
whoever knows the name may read them (`gmsdi_jax.convert.tensors`).

Operations are decoded by the standard library's `pickletools`, which executes none. Memory stays in
proportion to the file: their number is bounded, and none makes one long value of many others.
"""

import pickletools
from collections.abc import Sequence
from typing import IO, Any, NamedTuple

MOST = 2_000_000
"""Operations in a pickle; one array costs about thirty."""
LONGEST = 500
"""Characters in the name of a class or function."""
PERSISTENT = "persistent"
"""Name of what lies outside the pickle, such as the numbers of a tensor."""

_KEYS = str | int | float | bytes | None


class Foreign:
    """Something that is known by name only: a class or function, or what calling it made."""

    __slots__ = ("arguments", "entries", "items", "name", "state")

    def __init__(self, name: str, arguments: Any = None):
        """`arguments` are a call's; None says that this is the class or function itself."""
        self.name, self.arguments = name, arguments
        self.state: Any = None  # what Python would have handed to __setstate__
        self.items: list[Any] = []  # where it is a kind of list
        self.entries: dict[Any, Any] = {}  # where it is a kind of dict

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Pickle(NamedTuple):
    """What a pickle holds, and what it refers to beside itself."""

    value: Any
    persistent: list[Any]


def read_pickle(stream: IO[bytes]) -> Pickle:
    """The value of the pickle at a stream's position; the stream is left behind it.

    Raises:
        ValueError: it is damaged, or larger than any checkpoint's.
    """
    machine = _Machine()
    try:
        for count, (operation, argument, _) in enumerate(pickletools.genops(stream)):
            if count > MOST:
                raise ValueError(f"a pickle of more than {MOST} operations is no checkpoint")
            machine.step(operation.name, argument)
        return Pickle(machine.stack.pop(), machine.persistent)
    except (IndexError, KeyError, TypeError, OverflowError, AttributeError) as error:
        raise ValueError(f"not a valid pickle ({type(error).__name__}: {error})") from error


class _Machine:
    """A stack, the places marked on it, and what is remembered for later."""

    def __init__(self):
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.persistent: list[Any] = []

    def step(self, name: str, argument: Any) -> None:
        """One operation, by pickletools' name for it."""
        if name in _PUSHED:
            self.stack.append(argument)
        elif name in _MADE:
            self.stack.append(_MADE[name](self, argument))
        elif name not in ("PROTO", "FRAME", "STOP", "READONLY_BUFFER"):
            _DONE[name](self, argument)

    def since_mark(self) -> list[Any]:
        """Takes off the stack all that was put there after the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def last(self, count: int) -> tuple[Any, ...]:
        """Takes the last `count` values off the stack."""
        if len(self.stack) < count:
            raise IndexError("the stack is empty")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        return items

    def pop(self) -> None:
        """Drops the last value, or the mark if that came last."""
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def outside(self, identity: Any) -> Foreign:
        """What lies outside the pickle under this identity."""
        self.persistent.append(identity)
        return Foreign(PERSISTENT, identity)

    def remember(self, key: int) -> None:
        """Keeps the last value, to be had again."""
        self.memo[key] = self.stack[-1]

    def extend(self, values: Sequence[Any]) -> None:
        """Appends to the list that came last."""
        target = self.stack[-1]
        (target.items if isinstance(target, Foreign) else _checked(target, list)).extend(values)

    def update(self, pairs: Sequence[Any]) -> None:
        """Sets keys and values, in turn, of the dict that came last."""
        target = self.stack[-1]
        entries = target.entries if isinstance(target, Foreign) else _checked(target, dict)
        entries.update(_dict(pairs))

    def build(self) -> None:
        """Notes a state; plain values have none, and lose an OrderedDict's attributes."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], Foreign):
            self.stack[-1].state = state


def _dict(pairs: Sequence[Any]) -> dict[Any, Any]:
    """Of keys and values in turn."""
    # A tuple of tuples may be slow to hash: such a key becomes one that equals nothing else.
    keys = (k if isinstance(k, _KEYS | Foreign) else Foreign("key", k) for k in pairs[::2])
    return dict(zip(keys, pairs[1::2], strict=True))


def _checked(target: Any, kind: type) -> Any:
    if not isinstance(target, kind):
        raise TypeError(f"a {type(target).__name__} is no {kind.__name__}")
    return target


def _named(*parts: Any) -> Foreign:
    """The class or function of that name; both parts must be short strings."""
    if not all(isinstance(part, str) and len(part) <= LONGEST for part in parts):
        raise TypeError("a name is no name")
    return Foreign(".".join(parts))


def _called(function: Any, arguments: Any, keywords: Any = None) -> Foreign:
    """What calling would have made: its name and arguments; nobody here reads keywords."""
    known = isinstance(function, Foreign) and function.arguments is None
    return Foreign(function.name if known else "?", _checked(arguments, tuple))


def _made(function: Any, *arguments: Any) -> Foreign:
    return _called(function, arguments)


_PUSHED = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
"""Operations whose argument is the value."""

_MADE = {
    "NONE": lambda m, _: None,
    "NEWTRUE": lambda m, _: True,
    "NEWFALSE": lambda m, _: False,
    "EMPTY_TUPLE": lambda m, _: (),
    "EMPTY_LIST": lambda m, _: [],
    "EMPTY_SET": lambda m, _: [],  # order does not matter to a set, nor to us that it is none
    "EMPTY_DICT": lambda m, _: {},
    "DICT": lambda m, _: _dict(m.since_mark()),
    "TUPLE": lambda m, _: tuple(m.since_mark()),
    "TUPLE1": lambda m, _: m.last(1),
    "TUPLE2": lambda m, _: m.last(2),
    "TUPLE3": lambda m, _: m.last(3),
    "LIST": lambda m, _: m.since_mark(),
    "FROZENSET": lambda m, _: m.since_mark(),
    "DUP": lambda m, _: m.stack[-1],
    "GET": lambda m, key: m.memo[key],
    "BINGET": lambda m, key: m.memo[key],
    "LONG_BINGET": lambda m, key: m.memo[key],
    "GLOBAL": lambda m, name: _named(*name.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: _named(*m.last(2)),
    "REDUCE": lambda m, _: _called(*m.last(2)),
    "NEWOBJ": lambda m, _: _called(*m.last(2)),
    "NEWOBJ_EX": lambda m, _: _called(*m.last(3)),
    "OBJ": lambda m, _: _made(*m.since_mark()),
    "INST": lambda m, name: _made(_named(*name.split(" ", 1)), *m.since_mark()),
    "PERSID": lambda m, identity: m.outside(identity),
    "BINPERSID": lambda m, _: m.outside(m.stack.pop()),
    "EXT1": lambda m, code: Foreign("extension", code),
    "EXT2": lambda m, code: Foreign("extension", code),
    "EXT4": lambda m, code: Foreign("extension", code),
    "NEXT_BUFFER": lambda m, _: Foreign("buffer", ()),
}
"""Operations that put one value on the stack."""

_DONE = {
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "POP": lambda m, _: m.pop(),
    "POP_MARK": lambda m, _: m.since_mark(),
    "APPEND": lambda m, _: m.extend(m.last(1)),
    "APPENDS": lambda m, _: m.extend(m.since_mark()),
    "ADDITEMS": lambda m, _: m.extend(m.since_mark()),
    "SETITEM": lambda m, _: m.update(m.last(2)),
    "SETITEMS": lambda m, _: m.update(m.since_mark()),
    "BUILD": lambda m, _: m.build(),
    "PUT": lambda m, key: m.remember(key),
    "BINPUT": lambda m, key: m.remember(key),
    "LONG_BINPUT": lambda m, key: m.remember(key),
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
}
"""Operations that put none."""
