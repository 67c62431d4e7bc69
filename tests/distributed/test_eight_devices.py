"""Inference over eight devices: `on_eight_devices.py` in a process of its own."""

from pathlib import Path

import pytest
from eight_devices import assert_holds


@pytest.mark.timeout(900)
def test_everything_holds_on_eight_devices():
    assert_holds(Path(__file__).with_name("on_eight_devices.py"))
