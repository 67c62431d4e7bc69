import pytest

from gmsdi_jax.distributed import HostsConfig
from gmsdi_jax.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"processes": 2}, "give all"),
        ({"coordinator": "a:1", "processes": 2, "process": 2}, "number them 0"),
        ({"coordinator": "a", "processes": 2, "process": 0}, "HOST:PORT"),
        ({"start_seconds": 0}, "at least 1"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        HostsConfig(**given)
