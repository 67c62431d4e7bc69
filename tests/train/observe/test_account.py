"""Where the wall time went: a replay of a run with kills, by a clock that is wound by hand."""

import json

import pytest

from gmsdi_jax.errors import UnavailableError
from gmsdi_jax.train.observe.account import account
from gmsdi_jax.train.observe.ledger import FLUSH_SECONDS, Ledger, process_began


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


class Replay:
    """Starts of one run, and beside them what truly happened."""

    def __init__(self, folder):
        self.path, self.clock = folder / "goodput.jsonl", Clock()
        self.began = self.clock.now
        self.spent = {}  # seconds of every computed step, the last time that it was computed

    def start(self, step):
        self.ledger = Ledger(self.path, clock=self.clock)
        self.clock.now += 7
        with self.ledger.during("restore") as said:
            self.clock.now += 3
            said["step"] = step
        self.spent = {done: s for done, s in self.spent.items() if done <= step}
        self.ledger.training()
        self.step = step
        with self.ledger.during("compile", step + 1):
            self.clock.now += 20

    def steps(self, count, seconds=0.5, stall=0.0):
        for _ in range(count):
            self.step += 1
            self.clock.now += seconds + stall
            if stall:
                self.ledger.move("data", stall)
            self.ledger.stepped(self.step)
            self.spent[self.step] = seconds

    def save(self):
        with self.ledger.during("save", self.step):
            self.clock.now += 0.3

    def stop(self):
        with self.ledger.during("stop"):
            self.clock.now += 1

    @property
    def truth(self):
        return sum(self.spent.values()) / (self.clock.now - self.began)


@pytest.fixture
def replay(tmp_path):
    return Replay(tmp_path)


def test_three_kills_leave_the_goodput_within_two_percent(replay, tmp_path):
    """G16: killed in the middle of steps, with and without a checkpoint since the last line."""
    saved = 0
    for lost in (37, 3, 61):
        replay.start(saved)
        replay.steps(100)
        replay.save()
        saved = replay.step
        replay.steps(lost, 0.6)
        replay.clock.now += 40  # killed; the machine comes back later
    replay.start(saved)
    replay.steps(200, stall=0.05)
    with replay.ledger.during("validation", replay.step):
        replay.clock.now += 15
    replay.save()
    replay.stop()
    found = account(tmp_path)
    assert found.wall == pytest.approx(replay.clock.now - replay.began)
    assert sum(found.seconds.values()) == pytest.approx(found.wall)
    assert found.steps == 500
    assert abs(found.goodput - replay.truth) < 0.02 * replay.truth
    assert found.goodput == pytest.approx(replay.truth, rel=1e-6)
    assert found.seconds["compile"] == pytest.approx(80)
    assert found.seconds["data"] == pytest.approx(200 * 0.05)
    # Of each killed start, at most the last seconds are not known to have been work.
    worked = (37 + 3 + 61) * 0.6
    assert worked - 3 * (FLUSH_SECONDS + 0.6) <= found.seconds["lost"] <= worked
    assert found.seconds["down"] >= 3 * 40
    assert [start.stopped for start in found.starts] == [False, False, False, True]
    assert [start.first for start in found.starts] == [0, 100, 200, 300]


def test_a_checkpoint_within_a_line_of_steps_parts_it(replay, tmp_path):
    """The checkpoint of step 4 was used, and the line says steps 1 to 10: six of ten are lost."""
    replay.start(0)
    replay.steps(10)
    replay.ledger.flush()
    replay.start(4)
    replay.steps(6)
    replay.stop()
    found = account(tmp_path)
    assert (found.steps, found.starts[0].steps, found.starts[0].lost) == (10, 4, 6)
    assert found.seconds["lost"] == pytest.approx(3.0)
    assert found.seconds["steps"] == pytest.approx(5.0)


def test_going_back_within_a_start_loses_steps_too(replay, tmp_path):
    """As the guard does after a step that is not finite."""
    replay.start(0)
    replay.steps(10)
    with replay.ledger.during("restore") as said:
        replay.clock.now += 2
        said["step"] = 6
    replay.step = 6
    replay.steps(4)
    replay.stop()
    found = account(tmp_path)
    assert (found.steps, found.starts[0].lost) == (10, 4)
    assert found.seconds["restore"] == pytest.approx(5.0)


def test_inner_events_are_not_counted_twice(tmp_path):
    clock = Clock()
    ledger = Ledger(tmp_path / "goodput.jsonl", clock=clock)
    ledger.training()
    with ledger.during("validation", 1):
        clock.now += 2
        with ledger.during("save", 1):
            clock.now += 3
        clock.now += 4
    found = account(tmp_path)
    assert (found.seconds["validation"], found.seconds["save"]) == (6.0, 3.0)


def test_half_a_line_spoils_no_other(replay, tmp_path):
    """A process killed within a write: the next start begins a line of its own."""
    replay.start(0)
    replay.steps(5)
    replay.ledger.flush()
    with replay.path.open("a") as file:
        file.write('{"time": 1000')
    replay.start(5)
    replay.steps(5)
    replay.stop()
    assert account(tmp_path).steps == 10


def test_the_table_and_its_numbers(replay, tmp_path):
    replay.start(0)
    replay.steps(69, 1.0)
    replay.stop()
    found = account(tmp_path)
    lines = str(found).splitlines()
    assert lines[0] == "goodput 69.0%: 69 steps, 1 s each, in 1 min 40 s"
    assert any(line.split() == ["compiling", "20.0", "20.0%"] for line in lines)
    assert lines[-1].endswith("by itself")
    values = json.loads(found.to_json())
    assert values["goodput"] == pytest.approx(0.69)
    assert values["starts"][0]["steps"] == 69


def test_no_ledger_is_one_line(tmp_path):
    with pytest.raises(UnavailableError, match=r"goodput.jsonl: no run has left its times here"):
        account(tmp_path)


def test_a_ledger_that_cannot_be_written_is_none(tmp_path):
    """A full disk is for checkpoints to report."""
    ledger = Ledger(tmp_path / "missing" / "goodput.jsonl")
    with ledger.during("save", 1):
        pass
    assert ledger.seconds["save"] > 0


def test_a_process_began_before_now():
    clock = Clock()
    assert 0 < process_began() < clock.now * 1e4
