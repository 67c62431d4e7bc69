"""Pickles are data: what builds values is read, what would run code leaves no trace."""

import copyreg
import functools
import io
import os
import pickle
import runpy
import sys
import time
import tracemalloc
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gmsdi_jax.convert import pickles
from gmsdi_jax.convert.pickles import Foreign, read_pickle
from gmsdi_jax.convert.tensors import Outside, array_of, entries_of, plain

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
NOWHERE = Outside(lambda storage: memoryview(b""), 1000)


def read(data: bytes):
    return read_pickle(io.BytesIO(data)).value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values_are_what_python_reads(protocol):
    """Every protocol's ways to say numbers, strings, lists and dicts, shared ones included."""
    shared = ["twice"]
    value = {
        "numbers": [0, 1, -1, 255, 256, 65536, -(2**31), 2**31, 2**70, -(2**2100), 0.1, -1e300],
        "words": ["", "a", "ä" * 300, "line\nand 'quote'", "\U0001f600"],
        "bytes": [b"", b"\x00\xff", b"x" * 300] if protocol > 2 else [],
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "constants": (None, True, False),
        7: {1.5: shared, None: shared, b"k" if protocol > 2 else "k": {}},
    }
    found = read(pickle.dumps(value, protocol))
    assert found == value
    assert found[7][1.5] is found[7][None]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_dicts_and_lists_of_any_class_keep_their_entries(protocol):
    ordered = OrderedDict(b=1, a=2)
    ordered.attribute = "dropped"  # type: ignore[attr-defined]
    for held in (ordered, defaultdict(list, b=1, a=2)):
        assert list((entries_of(read(pickle.dumps(held, protocol))) or {}).items()) == [
            ("b", 1),
            ("a", 2),
        ]
    assert entries_of(read(pickle.dumps(OrderedDict(), protocol))) == {}
    assert entries_of(read(pickle.dumps([1], protocol))) is None


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_and_scalars_of_numpy_are_read(protocol):
    """Also big-endian and Fortran-ordered ones; what is no plain number is refused."""
    for array in (
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=">f8").reshape(2, 3)),
        np.array([True, False]),
        np.zeros((0, 3), np.int16),
    ):
        node = read(pickle.dumps(array, protocol))
        found = array_of(node, NOWHERE)
        assert found is not None
        assert_array_equal(found, array)
        assert found.dtype == array.dtype
    told = {"sigma": np.float64(0.2), "count": np.int64(3), "sizes": (1, 2), "object": object()}
    assert plain(read(pickle.dumps(told, protocol))) == {"sigma": 0.2, "count": 3, "sizes": [1, 2]}
    objects = read(pickle.dumps(np.array(["a", None], object), protocol))
    with pytest.raises(ValueError, match="NumPy"):
        array_of(objects, NOWHERE)


class Payload:
    """Pickled, it is a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class WithState:
    """Its state is set by code."""

    def __setstate__(self, state):
        os.mkdir(state)

    def __reduce__(self):
        return WithState, (), self.path


def touch(path: str) -> None:
    """Leaves a trace; so does importing the module in which this is found."""
    os.mkdir(path)


def word(text: str) -> bytes:
    return pickle.dumps(text, 0)[:-1].split(b"\np")[0] + b"\n"


def with_state(path: str) -> WithState:
    made = WithState()
    made.path = path
    return made


CALLS = {
    "system": lambda path: pickle.dumps(Payload(os.system, f"mkdir {path}")),
    "eval": lambda path: pickle.dumps(Payload(eval, f"__import__('os').mkdir({path!r})")),
    "exec": lambda path: pickle.dumps(Payload(exec, f"import os; os.mkdir({path!r})")),
    "nested in a pickle": lambda path: pickle.dumps(
        Payload(pickle.loads, pickle.dumps(Payload(os.mkdir, path)))
    ),
    "nested in arguments": lambda path: pickle.dumps([{"a": (Payload(os.mkdir, path),)}]),
    "partial": lambda path: pickle.dumps(Payload(functools.partial(os.mkdir, path))),
    "map": lambda path: pickle.dumps(Payload(list, Payload(map, os.mkdir, [path]))),
    "runpy": lambda path: pickle.dumps(
        Payload(runpy._run_code, f"import os; os.mkdir({path!r})", {})  # type: ignore
    ),
    "getattr": lambda path: (
        b"c__builtin__\ngetattr\n(c__builtin__\n__import__\n(" + word("os") + b"tR"
        + word("mkdir") + b"tR(" + word(path) + b"tR."
    ),
    "inst": lambda path: b"(" + word(path) + b"ios\nmkdir\n.",
    "obj": lambda path: b"(cos\nmkdir\n" + word(path) + b"o.",
    "newobj of copyreg": lambda path: pickle.dumps(Payload(os.mkdir, path), 2),
    "stack_global": lambda path: b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93("
    + word(path)
    + b"tR.",
    "setstate": lambda path: pickle.dumps(with_state(path)),
    "extension": lambda path: b"\x80\x02\x82\xf0(" + word(path) + b"tR.",
    "memo": lambda path: b"cos\nmkdir\np0\n0(" + word(path) + b"tp1\n0g0\ng1\nR.",
    "dup": lambda path: b"cos\nmkdir\n2(" + word(path) + b"tR.",
}  # fmt: skip


@pytest.fixture
def extension():
    """A code of copyreg's registry that stands for os.mkdir."""
    copyreg.add_extension("os", "mkdir", 0xF0)
    yield
    copyreg.remove_extension("os", "mkdir", 0xF0)


@pytest.mark.parametrize("name", CALLS)
def test_no_call_is_made(name, tmp_path, extension):
    """Python's own machine makes each of them, which shows that the payloads are live."""
    data = CALLS[name](str(tmp_path / "trace"))
    pickle.loads(data)
    assert (tmp_path / "trace").exists()
    (tmp_path / "trace").rmdir()
    read(data)
    assert not (tmp_path / "trace").exists()


def test_no_module_is_imported(tmp_path, monkeypatch):
    """To name something of a module would import it, which runs it."""
    (tmp_path / "trap_of_a_pickle.py").write_text("def f(): pass")
    monkeypatch.syspath_prepend(tmp_path)
    for data in (b"ctrap_of_a_pickle\nf\n.", b"(itrap_of_a_pickle\nf\n."):
        assert isinstance(read(data), Foreign)
        assert "trap_of_a_pickle" not in sys.modules
    pickle.loads(b"ctrap_of_a_pickle\nf\n.")
    assert sys.modules.pop("trap_of_a_pickle")


def test_no_class_or_function_of_ours_is_touched():
    """A state may be set on what a name stands for: here that is never the thing itself."""
    before = dict(vars(Foreign)), read_pickle.__defaults__
    for name in (b"Foreign", b"read_pickle"):
        start = b"cgmsdi_jax.convert.pickles\n" + name + b"\n"
        read(start + b"(N}" + word("__defaults__") + b"I1\nstb.")
        read(start + b"}" + word("name") + b"I1\nsb.")
    assert (dict(vars(Foreign)), read_pickle.__defaults__) == before


def test_what_would_have_been_called_is_noted():
    """The name, the arguments and the state; a call of what was called has no name."""
    node = read(b"ca.b\nC\n(I1\nI2\ntR}" + word("k") + b"I3\nsb.")
    assert (node.name, node.arguments, node.state) == ("a.b.C", (1, 2), {"k": 3})
    assert repr(node) == "<a.b.C>"
    assert read(b"ca\nb\n)R)R.").name == "?"
    found = read_pickle(io.BytesIO(b"(I1\nI2\ntQ."))
    assert (found.value.name, found.persistent) == ("persistent", [(1, 2)])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"I1\n",
        b"\xff.",
        b"t.",
        b"R.",
        b"h\x05.",
        b"I1\nI2\nR.",
        b"I1\n(I2\ne.",
        b"}(I1\nu.",
        b"I1\nI2\nI3\ns.",
        b"(I1\nI2\nI3\nd.",
        b"N)\x93.",
        b"c" + b"a" * 1000 + b"\nb\n.",
        b"\x8b\xff\xff\xff\xff.",
        b"\x8e" + b"\xff" * 7 + b"\x7f.",
        b"X\xff\xff\xff\x7fabc.",
        b"L" + b"9" * 10_000 + b"L\n.",
    ],
)
def test_damage_is_a_value_error(data):
    with pytest.raises(ValueError, match=r".+"):
        read(data)


def test_small_files_take_little_memory_and_time(monkeypatch):
    """Sizes that are only claimed, numbers of a memo, and what doubles when it is looked at."""
    long_name = word("a" * 400) + b"p0\n" + b"0g0\ng0\n\x93" * 1000 + b"."
    long_tuple = b"(" + b"N" * 5000 + b"tp0\n0" + b"ca\nb\ng0\nR" * 5000 + b"."
    bombs = {
        "a memo's number": b"Nr\xff\xff\xff\x7f.",
        "tuples of tuples as a key": b"I1\n" + b"2\x86" * 60 + b"p0\n0}g0\nNs.",
        "lists of lists": b"(lp0\n" + b"0(g0\ng0\nlp0\n" * 60 + b".",
        "one long name, again and again": long_name,
        "one long tuple as arguments, again and again": long_tuple,
        "depth": b"(" * 50_000 + b"t" * 50_000 + b".",
    }
    for name, data in bombs.items():
        tracemalloc.start()
        started = time.monotonic()
        read(data)
        assert time.monotonic() - started < 5, name
        assert tracemalloc.get_traced_memory()[1] < 100 * len(data) + 1e6, name
        tracemalloc.stop()
    monkeypatch.setattr(pickles, "MOST", 100)
    with pytest.raises(ValueError, match="more than 100 operations"):
        read(b"N0" * 100 + b"N.")
