"""What the tests of downloading share."""

import random

import pytest
from serving import serving

from data_pipelines.download.transfer import Patience


@pytest.fixture
def site(monkeypatch):
    """A web server on this machine."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as site:
        yield site


@pytest.fixture
def patience():
    """Tries without long waits."""
    return Patience(tries=4, first_wait=0.001, longest_wait=0.01, timeout=5.0)


@pytest.fixture(scope="session")
def data():
    """A megabyte and a bit that no block size divides."""
    return random.Random(0).randbytes(1_234_567)
