"""Steps that are not finite, or spikes: they leave no trace, and each policy does what it says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.config import GuardConfig
from gmsdi_jax.errors import ConfigError, NumericsError
from gmsdi_jax.train import train
from gmsdi_jax.train.checkpoint import Checkpoints
from gmsdi_jax.train.guard import Guard, judge, none_seen
from gmsdi_jax.train.observe import read_lines


def besides_compiling(said):
    """Keeps what a run says, but for the line about its first step."""
    return lambda line: None if "compil" in line else said.append(line)


def host(tree):
    return jax.tree.map(np.array, tree)


def same(state, other):
    assert jax.tree.structure(state) == jax.tree.structure(other)
    jax.tree.map(assert_array_equal, state, other)


def at_most_once_bad(batches, number, value):
    """Batches of which the one with that number, from 1 on, is spoilt."""

    class Spoilt(batches):
        def __next__(self):
            batch = super().__next__()
            bad = self.next_index == number
            return batch._replace(audio=batch.audio * (value if bad else 1.0))

    return Spoilt()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_step_that_is_not_finite_changes_its_number_only(start, batches, value):
    """Weights, optimizer and average stay the same bits, also where only the square overflows."""
    step, state = start()
    state, _ = step(state, next(batches()))
    before, batch = host(state), next(batches())
    after, metrics = step(state, batch._replace(audio=batch.audio * np.float32(value)))
    assert not bool(metrics["finite"])
    same(host(after), before._replace(step=before.step + 1))


def test_abort_keeps_the_checkpoint_before_it_and_none_after(config, batches):
    """Exit code 70; the line and the checkpoint that are there are of steps before the bad one."""
    settings = config(log_every=2, save_every=2, eval_every=2, save_minutes=1e-9, keep=9)
    with pytest.raises(NumericsError, match=r"step 5 is not finite: .*optimizer.rate") as error:
        train(settings, at_most_once_bad(batches, 5, np.nan))
    assert error.value.exit_code == 70
    assert [line["step"] for line in read_lines(settings.out / "metrics.jsonl")] == [2, 4]
    assert Checkpoints(settings.out / "checkpoints", 3).latest == 4


def test_skip_goes_on_as_if_the_step_had_not_been(config, batches):
    """The run ends; the line tells how many steps were left out and means the others."""
    settings = config(guard=GuardConfig(policy="skip"))
    state = train(settings, at_most_once_bad(batches, 5, np.nan))
    assert int(state.step) == 6
    one, two = read_lines(settings.out / "metrics.jsonl")
    assert "skipped" not in one
    assert two["skipped"] == 1
    assert np.isfinite(two["loss"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(host(state)))


def test_skip_is_resumed_exactly(config, batches, tmp_path):
    """Interrupted right after the bad step, within its log window: the same bits and lines."""
    skip = GuardConfig(policy="skip")
    straight = config(out=tmp_path / "straight", guard=skip)
    state = train(straight, at_most_once_bad(batches, 4, np.nan))

    def interrupt(step, values):
        if step == 4:
            raise KeyboardInterrupt

    settings = config(guard=skip)
    with pytest.raises(KeyboardInterrupt):
        train(settings, at_most_once_bad(batches, 4, np.nan), on_progress=interrupt)
    same(train(settings, at_most_once_bad(batches, 4, np.nan), resume=True), state)
    files = [config.out / "metrics.jsonl" for config in (straight, settings)]
    assert files[0].read_text() == files[1].read_text()


def test_skipping_has_an_end(config, batches):
    class Broken(batches):
        def __next__(self):
            batch = super().__next__()
            return batch._replace(audio=batch.audio * (jnp.nan if self.next_index > 2 else 1.0))

    settings = config(guard=GuardConfig(policy="skip", most=3))
    with pytest.raises(NumericsError, match=r"steps 3 to 5 were all left out"):
        train(settings, Broken())


def test_rollback_goes_on_from_the_checkpoint_with_the_data_after_it(config, batches):
    """As a run would that was given the later batches in the first place."""
    settings, said, steps = config(guard=GuardConfig(policy="rollback")), [], []
    state = train(
        settings,
        at_most_once_bad(batches, 5, np.nan),
        on_event=besides_compiling(said),
        on_progress=lambda step, values: steps.append(step),
    )
    assert len(said) == 1
    assert said[0].startswith("step 5 is not finite: back to step 3, and on with the data after")
    assert steps == [1, 2, 3, 4, 5, 4, 5, 6]  # step 6 is where the log would be written

    class Without(batches):
        """Batches 4 to 6 never were."""

        def __next__(self):
            if self.next_index == 3:
                self.next_index = 6
            return super().__next__()

    other = config(out=settings.out.parent / "other", guard=GuardConfig(policy="rollback"))
    same(train(other, Without()), state)
    files = [config.out / "metrics.jsonl" for config in (settings, other)]
    assert files[0].read_text() == files[1].read_text()


def test_rollback_before_any_checkpoint_starts_again(config, batches):
    said = []
    settings = config(guard=GuardConfig(policy="rollback"))
    state = train(settings, at_most_once_bad(batches, 1, np.nan), on_event=besides_compiling(said))
    assert int(state.step) == 6
    assert "back to step 0" in said[0]
    assert [line["step"] for line in read_lines(settings.out / "metrics.jsonl")] == [3, 6]


def test_rolling_back_has_an_end(config, batches):
    class Broken(batches):
        def __next__(self):
            batch = super().__next__()
            return batch._replace(audio=batch.audio * (jnp.nan if self.next_index > 4 else 1.0))

    settings = config(guard=GuardConfig(policy="rollback", most=2))
    with pytest.raises(NumericsError, match=r"after going back 2 times") as error:
        train(settings, Broken())
    assert error.value.exit_code == 70
    assert Checkpoints(settings.out / "checkpoints", 3).latest == 3


def seen(config, losses, norms=None):
    """The verdicts on some steps in a row."""
    recent, spikes = none_seen(config), []
    for loss, norm in zip(losses, norms or [1.0] * len(losses), strict=True):
        verdict, recent = judge(recent, jnp.float32(loss), jnp.float32(norm), config)
        spikes.append(bool(verdict["spike"]))
    return spikes, recent


def test_spikes_are_measured_by_the_last_steps():
    """Mean 2 and deviation 1: 6 deviations above is 8. None is judged before half are known."""
    config = GuardConfig(spikes=6.0, recent=8)
    assert seen(config, [1, 3, 100])[0] == [False] * 3
    assert seen(config, [1, 3, 1, 3, 7.9])[0] == [False] * 5
    assert seen(config, [1, 3, 1, 3, 8.1])[0] == [False] * 4 + [True]
    assert seen(config, [1, 3, 1, 3, -9])[0] == [False] * 5
    norms = [1, 3, 1, 3, 8.1]
    assert seen(config, [1.0] * 5, norms)[0] == [False] * 4 + [True]


def test_a_level_that_stays_is_accepted():
    spikes, _ = seen(GuardConfig(spikes=6.0, recent=8), [1, 3, 1, 3, 1, 3, 1, 3] + [50] * 8)
    assert spikes[8]
    assert not any(spikes[-6:])


def test_what_is_not_finite_is_not_remembered():
    config = GuardConfig(spikes=6.0, recent=8)
    _, recent = seen(config, [1, 3])
    verdict, after = judge(recent, jnp.float32(np.nan), jnp.float32(1), config)
    assert not verdict["spike"]
    same(after, recent)


def test_a_spike_is_left_out(config, batches):
    """A loud batch late in a run moves nothing; without the guard it does."""
    loud = {"steps": 12, "log_every": 12, "save_every": 12, "eval_every": 0}
    guarded = config(**loud, guard=GuardConfig(spikes=6.0, recent=8))
    train(guarded, at_most_once_bad(batches, 11, 300.0))
    [line] = read_lines(guarded.out / "metrics.jsonl")
    assert line["skipped"] == 1
    plain = config(**loud, out=guarded.out.parent / "plain")
    train(plain, at_most_once_bad(batches, 11, 300.0))
    [other] = read_lines(plain.out / "metrics.jsonl")
    assert other["loss"] > 10 * line["loss"]


def test_the_policies_follow_the_metrics():
    bad, fine = {"finite": False, "spike": False}, {"finite": True, "spike": False}
    guard = Guard(GuardConfig(policy="skip", most=2))
    guard.check([fine, bad, fine, bad], 1)
    with pytest.raises(NumericsError, match="steps 4 to 5"):
        guard.check([bad], 5)


@pytest.mark.parametrize("wrong", [{"most": 0}, {"recent": 1}, {"spikes": -1.0}])
def test_numbers_that_make_no_sense(wrong):
    with pytest.raises(ConfigError):
        GuardConfig(**wrong)


def test_the_ring_of_the_last_steps():
    _, recent = seen(GuardConfig(spikes=6.0, recent=4), [1, 2, 3, 4, 5, 6])
    assert_allclose(sorted(np.asarray(recent.values[0])), [3, 4, 5, 6])
