"""Training over eight devices: `on_eight_devices.py` in a process of its own."""

from pathlib import Path

import pytest
from eight_devices import assert_holds

SLOW = pytest.param(["--slow", "-m", "slow"], marks=pytest.mark.slow, id="slow")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("which", [pytest.param(["-m", "not slow"], id="fast"), SLOW])
def test_everything_holds_on_eight_devices(which):
    assert_holds(Path(__file__).with_name("on_eight_devices.py"), *which)
