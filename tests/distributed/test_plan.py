"""How many windows share a call: arithmetic on memory that is made up here."""

import math
from types import SimpleNamespace

import pytest

from gmsdi_jax.distributed import Plan, fixed_plan, make_plan
from gmsdi_jax.distributed import plan as module
from gmsdi_jax.errors import UnavailableError

GIB = 2**30


class Compiler:
    """Says ``fixed + per_row * rows of the busiest device``, and remembers what it was asked."""

    def __init__(self, devices, per_window, fixed=1 * GIB, per_row=GIB // 4, refuses=math.inf):
        self.devices, self.per_window, self.asked = devices, per_window, []
        self.fixed, self.per_row, self.refuses = fixed, per_row, refuses

    def __call__(self, windows, layout):
        self.asked.append((windows, layout))
        if layout == "windows":
            assert windows % self.devices == 0
            rows = windows // self.devices * self.per_window
        else:
            rows = -(-windows * self.per_window // self.devices)
        needed = self.fixed + self.per_row * rows
        return needed if needed <= self.refuses else math.inf

    def plan(self, limit, **options):
        return make_plan(self, self.per_window, self.devices, int(limit), **options)


def test_one_line_for_the_console():
    assert str(Plan(8, 24, 96, "windows")) == "8 devices, 96 rows per call"
    assert str(Plan(1, 2, 8, "windows")) == "1 device, 8 rows per call"
    measured = Plan(8, 24, 96, "windows", needed=GIB + GIB // 5, limit=12 * GIB)
    assert str(measured) == "8 devices, 96 rows per call, 1.2 of 12 GiB each"
    assert str(Plan(1, 2, 8, "windows", needed=GIB // 8, limit=GIB)) == (
        "1 device, 8 rows per call, 0.125 of 1 GiB"
    )


@pytest.mark.parametrize(
    ("windows", "per_window", "devices", "expected"),
    [
        (2, 4, 1, (2, 8, "windows")),
        (24, 4, 8, (24, 96, "windows")),
        (7, 4, 8, (8, 32, "windows")),  # seven windows keep seven devices as busy as rows would
        (1, 4, 8, (1, 4, "rows")),
        (3, 4, 8, (3, 12, "rows")),
        (11, 4, 8, (11, 44, "rows")),  # 6 rows for the busiest device instead of 8
        (9, 1, 8, (16, 16, "windows")),  # a window of one row cannot be shared
        (100, 4, 8, (104, 416, "windows")),
    ],
)
def test_devices_take_whole_windows_unless_that_leaves_many_idle(
    windows, per_window, devices, expected
):
    plan = fixed_plan(windows, per_window, devices)
    assert (plan.windows, plan.rows, plan.layout) == expected
    assert (plan.devices, plan.needed, plan.limit) == (devices, None, None)


def test_as_many_as_fit():
    """1 GiB and 1 GiB per window: 9.5 GiB hold eight, known from one and two, compiled once."""
    compiler = Compiler(devices=1, per_window=4)
    plan = compiler.plan(9.5 * GIB)
    assert plan == Plan(1, 8, 32, "windows", needed=9 * GIB, limit=int(9.5 * GIB))
    assert [windows for windows, _ in compiler.asked] == [1, 2, 8]


def test_all_devices_together():
    """Eight devices hold eight times that; with no more windows than 24, three each."""
    compiler = Compiler(devices=8, per_window=4)
    assert compiler.plan(9.5 * GIB).windows == 64
    plan = compiler.plan(9.5 * GIB, most=24)
    assert str(plan) == "8 devices, 96 rows per call, 4 of 9.5 GiB each"
    assert plan.layout == "windows"


def test_never_more_than_is_useful_or_there():
    """Memory without end: MOST windows per device, and no more than the song has."""
    compiler = Compiler(devices=2, per_window=4)
    assert compiler.plan(10**15).windows == 2 * module.MOST
    assert compiler.plan(10**15, most=5).windows in (5, 6)
    assert Compiler(devices=1, per_window=4).plan(10**15, most=1).windows == 1


def test_calls_of_equal_size():
    """Of nine windows where eight fit, five and four: not eight and one, padded to eight."""
    assert Compiler(devices=1, per_window=4).plan(9.5 * GIB, most=9).windows == 5
    assert Compiler(devices=1, per_window=4).plan(9.5 * GIB, most=1000).windows == 8


def test_few_windows_share_their_rows():
    """Three windows on eight devices: two rows each, where four would be too much."""
    compiler = Compiler(devices=8, per_window=4)
    plan = compiler.plan(1.5 * GIB, most=3)
    assert (plan.layout, plan.windows, plan.rows, plan.needed) == ("rows", 3, 12, 3 * GIB // 2)


def test_large_windows_share_their_rows():
    """A window of 2 GiB does not fit a device of 1.6 GiB; its rows on eight devices do."""
    compiler = Compiler(devices=8, per_window=4)
    plan = compiler.plan(1.6 * GIB)
    assert compiler.asked[0] == (8, "windows")
    assert plan.layout == "rows"
    assert plan.needed == 1.5 * GIB  # two rows of a device
    assert plan.windows in (3, 4)


def test_memory_that_does_not_grow_evenly():
    """What was extrapolated is compiled, and taken back if it does not fit."""

    def measure(windows, layout):
        return windows**2 * GIB

    plan = make_plan(measure, 4, 1, 50 * GIB)
    assert plan.windows >= 2
    assert plan.needed == plan.windows**2 * GIB <= 50 * GIB

    def steep_at_first(windows, layout):
        return (1 if windows == 1 else 2 + windows) * GIB

    assert make_plan(steep_at_first, 4, 1, 14 * GIB).windows >= 9  # and not 5


def test_what_the_compiler_refuses_does_not_fit():
    """Some backends refuse to compile what is too large, and do not say how large it is."""
    compiler = Compiler(devices=1, per_window=4, refuses=6 * GIB)
    assert 2 <= compiler.plan(20 * GIB).windows <= 5
    assert Compiler(devices=1, per_window=4, refuses=2 * GIB).plan(20 * GIB).windows == 1
    with pytest.raises(UnavailableError, match="needs more than there is per device"):
        Compiler(devices=1, per_window=4, refuses=GIB).plan(20 * GIB)


@pytest.mark.parametrize("devices", [1, 8])
def test_one_window_too_many_is_refused(devices):
    """What it needs, what there is, and what to do; exit code 4."""
    needed = {1: "2", 8: "1.25"}[devices]
    with pytest.raises(UnavailableError, match=f"needs {needed} GiB per device and 1.1 GiB") as e:
        Compiler(devices=devices, per_window=4).plan(1.1 * GIB)
    assert e.value.exit_code == 4


def mesh(*stats):
    devices = [SimpleNamespace(memory_stats=lambda s=s: s) for s in stats]
    return SimpleNamespace(devices=SimpleNamespace(flat=devices), size=len(devices))


def test_free_memory_of_accelerators():
    """A share of what the fullest device has left."""
    full, empty = (
        {"bytes_limit": 80 * GIB, "bytes_in_use": 30 * GIB, "num_allocs": 3},
        {"bytes_limit": 80 * GIB},
    )
    assert module.free_bytes(mesh(empty, full)) == int(module.SHARE * 50 * GIB)


@pytest.mark.parametrize(
    ("limit", "free"), [(None, 16 * GIB), ("max\n", 16 * GIB), (f"{6 * GIB}\n", 4 * GIB)]
)
def test_free_memory_of_a_cpu(tmp_path, monkeypatch, limit, free):
    """Half of what the computer, or its container, has left, for all virtual devices together."""
    (tmp_path / "meminfo").write_text(
        f"MemTotal: {32 * 2**20} kB\nMemAvailable: {16 * 2**20} kB\nHugePages_Free: 0\n"
    )
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.current").write_text(f"{2 * GIB}\n")
    monkeypatch.setattr(module, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(module, "CGROUP", tmp_path)
    assert module.free_bytes(mesh(None)) == free // 2
    assert module.free_bytes(mesh(None, None, None, None)) == free // 8
    monkeypatch.setattr(module, "MEMINFO", tmp_path / "nowhere")
    assert module.free_bytes(mesh(None)) > 0


def test_a_compiler_that_says_nothing():
    """Then only a number of rows can be had."""
    silent = SimpleNamespace(memory_analysis=lambda: None)
    with pytest.raises(UnavailableError, match="does not say"):
        module.needed_bytes(silent)
