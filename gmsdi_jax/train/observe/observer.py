"""The one object that the loop tells what it does; it knows who is to hear of it."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax

from gmsdi_jax.config import TrainConfig, to_json
from gmsdi_jax.distributed import is_first
from gmsdi_jax.train.feed import Feed
from gmsdi_jax.train.observe.compile_cache import Compilation
from gmsdi_jax.train.observe.hosts import HostTimes
from gmsdi_jax.train.observe.ledger import Ledger
from gmsdi_jax.train.observe.lines import JsonLines, Writer, read_lines
from gmsdi_jax.train.observe.profile import Profile
from gmsdi_jax.train.observe.samples import Sample, SampleFiles
from gmsdi_jax.train.observe.tensorboard import TensorBoard
from gmsdi_jax.train.observe.weights_and_biases import WeightsAndBiases


class Observer:
    """Measures in every process, writes in the first.

    Args:
        config: the run; its folder is there.
        say: told one line now and then.
        profile: first and last step to trace.
        began: when the process started, in seconds since 1970; by default now.
    """

    def __init__(
        self,
        config: TrainConfig,
        say: Callable[[str], None],
        profile: tuple[int, int] | None = None,
        began: float | None = None,
    ):
        self._config = config
        self._say = say if is_first() else lambda line: None
        path = config.out / "goodput.jsonl" if is_first() else None
        self.ledger = Ledger(path, began=began)
        self._profile = Profile(profile, config.out / "profile", self._say)
        self._samples = SampleFiles(config.out / "samples", self._say)
        self._times = HostTimes()
        self._compiled = False
        self._waited = self._blocked = 0.0
        self._last: Any = None
        self._curve: JsonLines | None = None
        self._hosts: JsonLines | None = None
        self._shows: list[Writer] = []
        self._online: WeightsAndBiases | None = None

    def during(
        self, event: str, step: int | None = None
    ) -> contextlib.AbstractContextManager[dict[str, Any]]:
        """The time inside is `event`'s in the ledger (`Ledger.during`)."""
        return self.ledger.during(event, step)

    def open(self, resume_at: int | None) -> None:
        """Opens all destinations, cut off after the step that the run goes on from.

        Raises:
            OutputError: a file cannot be written.
            UnavailableError: Weights & Biases does not start, for a new run.
        """
        if is_first():
            config, out = self._config, self._config.out
            self._curve = JsonLines(out / "metrics.jsonl", resume_at)
            self._hosts = JsonLines(out / "hosts.jsonl", resume_at)
            if config.tensorboard:
                self._shows = [TensorBoard(out / "tensorboard", resume_at, self._say)]
            if config.wandb and self._online is None:
                self._online = WeightsAndBiases(
                    config.wandb, out, to_json(config), resumed=bool(resume_at), on_event=self._say
                )
            if self._online:
                self._shows.append(self._online)
        self.ledger.training()

    def back_to(self, step: int) -> None:
        """Steps after `step` will be done again: their lines go."""
        self._close_files()
        self.open(step)

    def next_batch(self, feed: Feed) -> Any:
        """The next batch; its wait is a stall as far as the devices were idle meanwhile."""
        idle = _is_done(self._last)
        began = time.monotonic()
        batch = next(feed)
        waited = time.monotonic() - began
        self._waited += waited
        if self._last is not None and _is_done(self._last):
            # Where the devices ended somewhere in the wait, nobody saw when: half of it counts.
            self.ledger.move("data", waited if idle else waited / 2)
        return batch

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """A step is computed inside; the first one of a process is compiled."""
        self._profile.before(number)
        if self._compiled:
            yield
            return
        with self.ledger.during("compile", number), Compilation(self._say).watch(f"step {number}"):
            yield
        self._compiled = True

    def stepped(self, number: int, metrics: Any) -> None:
        """A step was handed to the devices, and `metrics` will be what it gives."""
        self._last = metrics
        self._times.step()
        self._profile.after(number, metrics)
        self.ledger.stepped(number)

    def wait_for_devices(self, metrics: Any) -> None:
        """Returns when `metrics` are there."""
        began = time.monotonic()
        jax.block_until_ready(metrics)
        self._blocked += time.monotonic() - began

    def write(self, step: int, values: dict[str, Any]) -> None:
        """The line of a log window, to all destinations; every process must call it."""
        self.ledger.flush()
        training = self.ledger.seconds["steps"] + self.ledger.seconds["data"]
        times = self._times.window(training, self._waited, self._blocked)
        if self._curve and self._hosts:
            self._curve.write(step, values)
            self._hosts.write(step, times)
        for writer in self._shows:
            writer.write(step, values | times)

    def show(self, step: int, samples: Sequence[Sample], score: float) -> None:
        """The sound of a validation, to the destinations that take any."""
        if not is_first() or not samples:
            return
        lines = read_lines(self._config.out / "metrics.jsonl")
        scores = {line["step"]: line["score"] for line in lines if "score" in line}
        self._samples.write(step, samples, scores | {step: score})
        for writer in self._shows:
            writer.show(step, samples)

    def close(self) -> None:
        """Lets go of everything."""
        self._profile.close()
        self._close_files()
        if self._online:
            self._online.close()

    def _close_files(self) -> None:
        for writer in (self._curve, self._hosts, *self._shows):
            if writer and writer is not self._online:
                writer.close()
        self._curve = self._hosts = None
        self._shows = []


def _is_done(metrics: Any) -> bool:
    """Whether the devices have nothing left to do; asks, and does not wait."""
    return all(leaf.is_ready() for leaf in jax.tree.leaves(metrics) if hasattr(leaf, "is_ready"))
