import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gmsdi_jax.errors import InputError
from gmsdi_jax.train.feed import Feed


class Numbers:
    """Batches 0, 1, 2, ...; what was read is counted, and one of them may fail."""

    def __init__(self, fail=None):
        self.next, self.fail = 0, fail

    def __next__(self):
        if self.next == self.fail:
            raise InputError(f"record {self.next} is damaged")
        self.next += 1
        return np.full(3, self.next - 1, np.float32)

    def get_state(self):
        return {"next_index": self.next}

    def set_state(self, state):
        self.next = state["next_index"]


def test_batches_come_in_order_and_on_the_device():
    feed = Feed(Numbers(), jax.device_put)
    for number in range(5):
        batch = next(feed)
        assert isinstance(batch, jax.Array)
        np.testing.assert_array_equal(batch, number)


def test_no_more_is_read_ahead_than_said():
    numbers = Numbers()
    feed = Feed(numbers, jax.device_put, ahead=3)
    assert numbers.next == 0
    for taken in range(1, 6):
        next(feed)
        assert numbers.next == taken + 3


def test_the_position_is_that_of_the_batches_handed_out():
    feed = Feed(Numbers(), jnp.asarray)
    assert feed.get_state() == {"next_index": 0}
    for _ in range(4):
        next(feed)
    position = feed.get_state()
    assert position == {"next_index": 4}
    again = Numbers()
    again.set_state(position)
    np.testing.assert_array_equal(next(Feed(again, jnp.asarray)), next(feed))


@pytest.mark.parametrize("at", [0, 1, 2, 5])
def test_an_error_waits_for_its_turn(at):
    feed = Feed(Numbers(fail=at), jnp.asarray)
    for number in range(at):
        np.testing.assert_array_equal(next(feed), number)
        assert feed.get_state() == {"next_index": number + 1}
    with pytest.raises(InputError, match=f"record {at}"):
        next(feed)
