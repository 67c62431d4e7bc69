"""The loop: exact resume, one run per folder, the best weights, and failures with a name."""

import json
import signal

import jax
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gmsdi_jax.config import OptimizerConfig
from gmsdi_jax.errors import ConfigError, OutputError, PreemptedError
from gmsdi_jax.train import Stop, train
from gmsdi_jax.train.checkpoint import Checkpoints
from gmsdi_jax.train.feed import AHEAD
from gmsdi_jax.weights import load_model


def besides_compiling(said):
    """Keeps what a run says, but for the line about its first step."""
    return lambda line: None if "compil" in line else said.append(line)


def interrupt_at(step):
    def on_progress(number, values):
        if number == step:
            raise KeyboardInterrupt

    return on_progress


def lines(config):
    return (config.out / "metrics.jsonl").read_text()


def same(state, other):
    assert jax.tree.structure(state) == jax.tree.structure(other)
    jax.tree.map(assert_array_equal, state, other)


@pytest.fixture
def straight(config, batches, tmp_path):
    """Six steps without interruption."""
    settings = config(out=tmp_path / "straight")
    return train(settings, batches()), lines(settings)


@pytest.mark.parametrize("stop", [3, 4, 5])
def test_resumed_run_is_the_straight_run(straight, config, batches, stop):
    """Interrupted anywhere and resumed: weights, optimizer, average and metrics are equal bits.

    After step 4 or 5 the half log window travels with the checkpoint.
    """
    settings = config()
    with pytest.raises(KeyboardInterrupt):
        train(settings, batches(), on_progress=interrupt_at(stop))
    assert len(lines(settings).splitlines()) == 1
    assert Checkpoints(settings.out / "checkpoints", write=False).latest == stop
    state = train(settings, batches(), resume=True)
    same(state, straight[0])
    assert lines(settings) == straight[1]
    assert [json.loads(line)["step"] for line in lines(settings).splitlines()] == [3, 6]


def test_interrupted_between_steps_keeps_the_step_that_is_done(straight, config, batches):
    """Ctrl-C while a batch is read ahead: the checkpoint and its position are the last step's."""
    settings = config(log_every=1, save_every=6, eval_every=6)

    class Impatient(batches):
        def __next__(self):
            if self.next_index == 5:
                raise KeyboardInterrupt
            return super().__next__()

    with pytest.raises(KeyboardInterrupt):
        train(settings, Impatient())
    assert Checkpoints(settings.out / "checkpoints", 1).latest == 5 - AHEAD
    same(train(settings, batches(), resume=True), straight[0])
    assert Checkpoints(settings.out / "checkpoints", 1).latest == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_the_step_is_finished_and_saved(straight, config, batches, number):
    """Exit code 85, nothing is computed twice, and the curve is the same bits."""
    settings, before = config(), signal.getsignal(number)

    def told(step, values):
        if step == 4:
            signal.raise_signal(number)

    with pytest.raises(PreemptedError, match=rf"{number.name}: stopped and saved at step 4") as end:
        train(settings, batches(), on_progress=told)
    assert end.value.exit_code == 85
    assert signal.getsignal(number) == before
    steps = []
    state = train(settings, batches(), resume=True, on_progress=lambda n, v: steps.append(n))
    assert steps == [5, 6]
    same(state, straight[0])
    assert lines(settings) == straight[1]


def test_a_second_sigterm_does_not_end_the_save(config, batches, monkeypatch):
    """It comes while the last checkpoint is written, and is heard by nobody's default handler."""
    wait = Checkpoints.wait

    def told_again(self):
        if self._saving and self._saving[0] == 4:
            signal.raise_signal(signal.SIGTERM)
        wait(self)

    def told(step, values):
        if step == 4:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Checkpoints, "wait", told_again)
    settings = config()
    with pytest.raises(PreemptedError):
        train(settings, batches(), on_progress=told)
    assert Checkpoints(settings.out / "checkpoints", write=False).latest == 4


def test_a_signal_after_the_last_step_ends_nothing(config, batches):
    """Until its caller is done, too: what is written after training is not cut short."""

    def told(step, values):
        if step == 6:
            signal.raise_signal(signal.SIGTERM)

    with Stop() as stop:
        assert int(train(config(), batches(), on_progress=told, stop=stop).step) == 6
        signal.raise_signal(signal.SIGTERM)
        assert stop.reason == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_ctrl_c_ends_at_once(config, batches):
    def impatient(step, values):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(config(), batches(), on_progress=impatient)


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_used(straight, config, batches):
    """One line says so; the curve is the same bits, for the steps in between are done again."""
    settings, said = config(keep=3, save_every=1, log_every=1, eval_every=1), []
    with pytest.raises(KeyboardInterrupt):
        train(settings, batches(), on_progress=interrupt_at(4))
    place = settings.out / "checkpoints"
    for path in (place / "4").rglob("*"):
        if path.is_file() and path.stat().st_size > 2000:
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 4
            path.write_bytes(bytes(data))
    same(train(settings, batches(), resume=True, on_event=besides_compiling(said)), straight[0])
    assert len(said) == 1
    assert "4" in said[0]
    assert (place / "4.bad").exists()


def test_interrupted_validation_is_done_again(config, batches):
    """Ctrl-C during a validation: its line was not written, so its step is not kept either."""
    settings = config()

    def impatient(params):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings, batches(), impatient)
    assert lines(settings) == ""
    train(settings, batches(), lambda params: {"score": 1.0}, resume=True)
    assert [json.loads(line)["step"] for line in lines(settings).splitlines()] == [3, 6]


def test_a_finished_run_can_be_resumed_to_no_effect(straight, config, batches, tmp_path):
    """Resuming at the last step returns its state and adds no line."""
    settings = config(out=tmp_path / "straight")
    same(train(settings, batches(), resume=True), straight[0])
    assert lines(settings) == straight[1]


def test_a_folder_holds_one_run(config, batches, tmp_path):
    """Without --resume an existing run is left alone; with it, the same configuration is asked."""
    settings = config()
    train(settings, batches())
    with pytest.raises(ConfigError, match=r"holds a run; add --resume") as error:
        train(settings, batches())
    assert error.value.exit_code == 2
    changed = config(seed=5, window=1024)
    with pytest.raises(ConfigError, match=r"seed was 0, is 5, window was 512, is 1024\); name"):
        train(changed, batches(), resume=True)
    moved, said = config(data=tmp_path / "elsewhere", keep=1), []
    train(moved, batches(), resume=True, on_event=besides_compiling(said))
    assert said == []


def test_settings_that_steer_may_change_and_are_told(config, batches):
    """Another learning rate goes on with the run, and says so; config.json holds the new one."""
    settings, said = config(), []
    train(settings, batches())
    slower = config(optimizer=OptimizerConfig(rate=1e-2, warmup=2, ema=0.9), steps=9)
    train(slower, batches(), resume=True, on_event=besides_compiling(said))
    assert len(said) == 1
    assert "optimizer.rate was 0.03, is 0.01, steps was 6, is 9" in said[0]
    assert json.loads((settings.out / "config.json").read_text())["steps"] == 9


def test_other_data_is_another_run(config, batches):
    """The data's fingerprint travels in every checkpoint."""
    settings = config()
    train(settings, batches(), data="a" * 64)
    with pytest.raises(ConfigError, match="trained on other data"):
        train(settings, batches(), data="b" * 64, resume=True)
    train(settings, batches(), data="a" * 64, resume=True)


def test_checkpoints_by_the_clock(straight, config, batches):
    """After so many minutes one is saved between the others; the curve stays the same bits."""
    settings = config(save_minutes=1e-9, keep=9)
    same(train(settings, batches()), straight[0])
    assert lines(settings) == straight[1]
    place = settings.out / "checkpoints"
    assert {path.name for path in place.iterdir() if path.name.isdigit()} == set("123456")


def test_which_checkpoints_stay(config, batches):
    """The newest, multiples of `keep_every`, and those of the best validation."""
    settings = config(
        log_every=1, save_every=1, eval_every=1, keep=1, keep_every=4, keep_best=1, save_minutes=0
    )
    scores = iter([1.0, 9.0, 2.0, 3.0, 4.0, 5.0])
    train(settings, batches(), lambda params: {"score": next(scores)})
    place = settings.out / "checkpoints"
    assert {path.name for path in place.iterdir() if path.name.isdigit()} == {"2", "4", "6"}


def test_a_run_killed_before_its_first_checkpoint_starts_over(straight, config, batches):
    """config.json but no checkpoint: resuming begins at step 0 and writes the straight run."""
    settings = config()
    with pytest.raises(KeyboardInterrupt):
        train(settings, batches(), on_progress=interrupt_at(1))
    same(train(settings, batches(), resume=True), straight[0])
    assert lines(settings) == straight[1]


def test_unwritable_folder(config, batches, tmp_path):
    """A file where the run's folder should be is an OutputError before anything is computed."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="cannot write the run"):
        train(config(out=tmp_path / "taken" / "run"), batches())


def test_best_weights_are_those_of_the_highest_score(config, batches):
    """best/ is written when the score rises and only then, from the averaged weights."""
    settings = config(log_every=1, save_every=1, eval_every=1)
    scores, seen, kept = iter([1.0, 0.5, 2.0, 2.0, 1.5, -1.0]), [], []

    def validate(params):
        seen.append(jax.tree.map(np.array, params))
        return {"score": next(scores), "Bass": 0.0}

    def look(step, values):
        assert values["score"] == json.loads(lines(settings).splitlines()[-1])["score"]
        kept.append(load_model(settings.out / "best")[1])

    state = train(settings, batches(), validate, on_progress=look)
    for written, expected in zip(kept, [0, 0, 2, 2, 2, 2], strict=True):
        same(written, seen[expected])
    same(seen[-1], jax.tree.map(np.array, state.ema))
    assert load_model(settings.out / "best")[0] == settings.model


def test_best_survives_a_resume(config, batches):
    """A resumed run remembers the best score: a lower one does not replace the weights."""
    settings = config()
    with pytest.raises(KeyboardInterrupt):
        train(settings, batches(), lambda p: {"score": 3.0}, on_progress=interrupt_at(3))
    best = load_model(settings.out / "best")[1]
    train(settings, batches(), lambda p: {"score": 2.0}, resume=True)
    same(load_model(settings.out / "best")[1], best)


def test_validation_can_be_left_out(config, batches):
    """eval_every = 0 never validates; progress is told every step."""
    settings = config(eval_every=0)
    steps = []

    def never(params):
        raise AssertionError("validated")

    train(settings, batches(), never, on_progress=lambda step, values: steps.append(step))
    assert steps == [1, 2, 3, 4, 5, 6]
    assert not (settings.out / "best").exists()
