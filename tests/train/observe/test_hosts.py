"""Times per process, and who is waited for."""

import numpy as np
import pytest

from gmsdi_jax.errors import ConfigError
from gmsdi_jax.train.observe import parse_steps
from gmsdi_jax.train.observe.hosts import HostTimes, host_memory, summary
from gmsdi_jax.train.observe.profile import Profile


def test_times_are_per_step_of_the_window():
    """Two windows, of two and of four steps."""
    times = HostTimes()
    times.step()
    times.step()
    first = times.window(training=3.0, data=1.0, devices=0.5)
    assert (first["time/step"], first["time/data"], first["time/devices"]) == (1.5, 0.5, 0.25)
    for _ in range(4):
        times.step()
    second = times.window(training=11.0, data=1.0, devices=2.5)
    assert (second["time/step"], second["time/data"], second["time/devices"]) == (2.0, 0.0, 0.5)
    assert 0.01 < second["memory/host"] < 100
    assert "memory/devices" not in second  # the CPU does not tell
    assert "slowest" not in second  # there is no other


def test_the_process_that_waits_least_for_its_devices_is_the_slowest():
    """All end a step at the same time: process 1 reads for 0.9 s, for which the others wait."""
    rows = np.array([[1.0, 0.1, 0.8, 2, np.nan], [1.0, 0.9, 0.0, 4, 1], [1.0, 0.2, 0.7, 3, 1]])
    found = summary(rows)
    assert found["slowest"] == 1
    assert found["time/data"] == pytest.approx(0.4)
    assert (found["time/data min"], found["time/data max"]) == pytest.approx((0.1, 0.9))
    assert found["memory/host max"] == 4
    assert "memory/devices" not in found  # not all of them know


def test_memory_of_this_process_grows_with_what_it_holds():
    before = host_memory()
    held = np.ones(2**25)
    assert host_memory() - before > 2**27
    del held


@pytest.mark.parametrize("text", ["10", "13:10", "0:3", "a:b", "1:2:3", "-1:3", ""])
def test_steps_to_trace_are_first_and_last(text):
    assert parse_steps("10:13") == (10, 13)
    with pytest.raises(ConfigError, match="write FIRST:LAST"):
        parse_steps(text)


def test_a_trace_lies_where_it_is_said_to(tmp_path):
    said = []
    profile = Profile((2, 3), tmp_path / "profile", said.append)
    for step in range(1, 6):
        profile.before(step)
        assert profile._running == (step in (2, 3))
        profile.after(step, np.zeros(3) + step)
    assert len(said) == 1
    assert str(tmp_path / "profile") in said[0]
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))
