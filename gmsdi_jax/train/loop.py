"""The loop: batches in, states out, everything on disk that an exact resume needs.

A run's folder holds ``config.json`` (the whole configuration), what `observe` writes, the
``checkpoints/`` and ``best/``, the averaged weights with the highest validation score so far, ready
for ``gmsdi separate -m``. Resuming continues the data order and the noise exactly, so the loss
curve is the one that an uninterrupted run writes, bit for bit.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from gmsdi_jax.build import Model
from gmsdi_jax.config import TrainConfig, to_json
from gmsdi_jax.distributed import is_first, place_batch, training_mesh, whole
from gmsdi_jax.errors import NumericsError, PreemptedError
from gmsdi_jax.train.averages import save_snapshots
from gmsdi_jax.train.checkpoint import About, Checkpoints
from gmsdi_jax.train.claim import claim, same_data
from gmsdi_jax.train.feed import Batches, Feed
from gmsdi_jax.train.guard import GoBackError, Guard
from gmsdi_jax.train.observe import Observer, Sample, best_score
from gmsdi_jax.train.state import make_optimizer, make_state, state_shapes
from gmsdi_jax.train.step import Metrics, make_step, report
from gmsdi_jax.train.stop import Notes, Stop
from gmsdi_jax.train.watchdog import Watchdog
from gmsdi_jax.types import Batch, Params, TrainState
from gmsdi_jax.weights import save_model

Validate = Callable[[Params], dict[str, float]]
"""Averaged weights to scores; ``score`` decides which are best."""


def train(
    config: TrainConfig,
    batches: Batches,
    validate: Validate | None = None,
    *,
    embed: Callable[[Batch], Batch] = lambda batch: batch,
    data: str | None = None,
    resume: bool = False,
    on_progress: Callable[[int, dict[str, Any]], None] = lambda step, values: None,
    on_event: Callable[[str], None] = lambda line: None,
    listen: Callable[[], Sequence[Sample]] = tuple,
    profile: tuple[int, int] | None = None,
    began: float | None = None,
    stop: Stop | None = None,
) -> TrainState:
    """Trains to ``config.steps`` and returns the last state.

    Args:
        config: the run.
        batches: training data; its position is saved with every checkpoint.
        validate: called every ``config.eval_every`` steps with the averaged weights.
        embed: what becomes of a batch before its step: labels or audio to frozen embeddings.
        data: a fingerprint of the data; a run is not resumed on other data.
        resume: continue the run in ``config.out``; without it that folder must not hold one.
        on_progress: called after every step with its number and, when there are any, new metrics.
        on_event: told one line when something happened that a user should know: a damaged
            checkpoint, a changed setting, a step that was not finite.
        listen: gives the sound of the last validation.
        profile: first and last step of which a trace is recorded.
        began: when the process started, in seconds since 1970, for the ledger of times.
        stop: listens to signals from the first step until the caller leaves it; without it, until
            the last save is complete.

    Raises:
        ConfigError: the folder holds a run and `resume` is off, or holds a different run.
        UnavailableError: there are checkpoints, and none of them is good.
        NumericsError: loss or gradient is not finite, and ``config.guard`` ends the run; no
            checkpoint was written after that step.
        OutputError: a checkpoint could not be written; those before it are whole.
        PreemptedError: SIGTERM or SIGINT came; the step in flight was finished and saved.
        KeyboardInterrupt: a second SIGINT came, or a caller raised it; the last step was saved.
    """
    mesh = training_mesh(config.fsdp)
    model = Model(config.model)
    optimizer = make_optimizer(config.optimizer, config.steps)
    step = make_step(model, config, optimizer, mesh)
    claim(config, resume, on_event)
    watch = Observer(config, on_event, profile, began)
    checkpoints = Checkpoints(
        config.out / "checkpoints",
        config.keep,
        period=config.keep_every,
        best=config.keep_best,
        about=About(config.seed, to_json(config), data),
        on_event=on_event,
    )
    run = _Run(config, model, optimizer, mesh, step, checkpoints, watch, on_event)
    with contextlib.nullcontext(stop) if stop else Stop() as stop:
        try:
            run.begin(batches, resume, data)
            feed = Feed(batches, lambda batch: place_batch(_numbered(embed(batch)), mesh))
            stop.listen()
            with Watchdog(config.hang_minutes * 60, config.out / "stacks") as watchdog:
                return run.finish(feed, stop, watchdog, validate, listen, on_progress)
        finally:
            run.close()  # while signals are heard: a second SIGTERM must not end a save


class _Run:
    """A run between its first step and its last: what changes, and what is done about it."""

    def __init__(self, config, model, optimizer, mesh, step_function, checkpoints, watch, say):
        self.config, self.mesh, self.checkpoints, self.say = config, mesh, checkpoints, say
        self.watch: Observer = watch
        self.step_function = step_function
        self.parts = model, config, optimizer, mesh
        self.guard, self.times_back = Guard(config.guard), 0
        self.notes, self.saved_at = Notes(), time.monotonic()
        self.state: TrainState
        self.start = 0
        self.pending: list[Metrics] = []
        self.checked = 0  # of the pending metrics, by the guard

    def begin(self, batches: Batches, resume: bool, data: str | None) -> None:
        """The state and the position in the data from which the run goes on."""
        if resume:
            path = self.config.out / "checkpoints"
            same_data((self.checkpoints.about() or {}).get("data"), data, path)
        position = self._restore(resume)
        if position is not None:
            batches.set_state(position["data"])
        self.watch.open(self.start if resume else None)

    def finish(self, feed: Feed, stop: Stop, watchdog: Watchdog, validate, listen, on_progress):
        """Trains to the last step, from wherever it must."""
        self.feed, self.stop, self.watchdog, self.listen = feed, stop, watchdog, listen
        while True:
            try:
                return self._advance(validate, on_progress)
            except GoBackError as error:
                self._go_back(int(error.args[0]))

    def close(self) -> None:
        """Waits for the last save and lets go of all files."""
        with self.watch.during("stop"):
            try:
                self.checkpoints.close()
            finally:
                self.watch.close()

    def _restore(self, resume: bool) -> dict[str, Any] | None:
        """The newest checkpoint, with its position, or the first state."""
        with self.watch.during("restore") as said:
            found = self.checkpoints.resume(state_shapes(*self.parts)) if resume else None
            self.state, position = found or (make_state(*self.parts), None)
            self.start = said["step"] = int(self.state.step)
        self.pending = _from_json(position["pending"]) if position else []
        self.checked = len(self.pending)
        return position

    def _go_back(self, bad: int) -> None:
        """To the last checkpoint; the data goes on after what led to the bad step."""
        self.watchdog.pause()
        self.times_back += 1
        most = self.config.guard.most
        if self.times_back > most:
            raise NumericsError(
                f"loss or gradient of step {bad} is not finite, after going back {most} times "
                "(guard.most): resume with a lower optimizer.rate"
            )
        self._restore(resume=True)
        self.say(
            f"step {bad} is not finite: back to step {self.start}, and on with the data after it "
            f"({self.times_back} of at most {most} times)"
        )
        self.watch.back_to(self.start)

    def _advance(self, validate, on_progress) -> TrainState:
        config = self.config
        try:
            for step in range(self.start + 1, config.steps + 1):
                batch = self.watch.next_batch(self.feed)
                with self.watch.step(step):
                    self.state, metrics = self.step_function(self.state, batch)
                self.pending.append(metrics)
                self.watch.stepped(step, metrics)
                values = self._logged(step, validate) if step % config.log_every == 0 else {}
                if step % config.save_every == 0 or step == config.steps:
                    self._save(step, values.get("score"))
                self.checkpoints.check()
                on_progress(step, values)
                stopping, due = self.notes.compared(step, self.stop.noted, self._due())
                if stopping or due:
                    self._save(step, values.get("score"))
                if stopping and step < config.steps:
                    raise PreemptedError(
                        f"{self.stop.reason or 'a signal to another process'}: stopped and saved "
                        f"at step {step}; the same command with --resume auto goes on"
                    )
                self.watchdog.beat()
        except KeyboardInterrupt:
            self._save_interrupted()
            raise
        return self.state

    def _logged(self, step: int, validate) -> dict[str, Any]:
        """The line of a full window of steps, in every file."""
        self.watch.wait_for_devices(self.pending)
        self._check(step)
        values: dict[str, Any] = report(self.pending)
        if validate and self.config.eval_every and step % self.config.eval_every == 0:
            self.watchdog.pause()
            with self.watch.during("validation", step):
                values |= self._validated(validate)
                self.watch.show(step, self.listen(), values["score"])
        self.watch.write(step, values)
        self.pending.clear()
        self.checked = 0
        averages = self.config.averages
        if averages.widths and step % averages.every == 0:
            save_snapshots(self.config.out / "averages", step, averages.widths, self._averages())
        return values

    def _check(self, step: int) -> None:
        """The guard's look at what it has not seen."""
        fresh = self.pending[self.checked :]
        self.guard.check(fresh, step - len(fresh) + 1)
        self.checked = len(self.pending)

    def _due(self) -> bool:
        minutes = self.config.save_minutes
        return is_first() and 0 < minutes * 60 < time.monotonic() - self.saved_at

    def _save(self, step: int, score: float | None = None) -> None:
        """The metrics of a log window that is not full travel along: its line will be the same."""
        self._check(step)
        position = {"data": self.feed.get_state(), "pending": _to_json(self.pending)}
        self.watchdog.pause()
        with self.watch.during("save", step):
            self.checkpoints.save(step, self.state, position, score=score)
        self.saved_at = time.monotonic()

    def _save_interrupted(self) -> None:
        """The last finished step, unless it was interrupted or must not be kept."""
        done = int(self.state.step)  # the loop's own number may have moved on already
        whole_step = len(self.pending) == done % self.config.log_every
        if done > self.start and whole_step:
            with contextlib.suppress(NumericsError, GoBackError):
                self._save(done)

    def _validated(self, validate: Validate) -> dict[str, float]:
        path = self.config.out / "metrics.jsonl"
        average = _on_host(self.state.ema, self.mesh)
        scores = validate(average)
        if is_first() and scores["score"] > best_score(path, "score"):
            save_model(self.config.out / "best", self.config.model, average)
        return scores

    def _averages(self) -> list[Params]:
        return [_on_host(profile, self.mesh) for profile in self.state.profiles]


def _on_host(params: Params, mesh: Mesh) -> Params:
    return jax.tree.map(np.asarray, whole(params, mesh))


def _to_json(pending: list[Metrics]) -> list[dict[str, Any]]:
    """Metrics of some steps as lists of numbers: JSON holds every float32 exactly."""
    return [{name: np.asarray(v).tolist() for name, v in m.items()} for m in pending]


def _from_json(pending: list[dict[str, Any]]) -> list[Metrics]:
    return [{name: np.asarray(v, np.float32) for name, v in m.items()} for m in pending]  # type: ignore[misc]


def _numbered(batch: Batch) -> Batch:
    """The rows' numbers in the global batch: process p of n reads rows p, p + n, p + 2n, ..."""
    count = len(batch.audio)
    rows = jax.process_index() + jax.process_count() * np.arange(count, dtype=np.int32)
    return batch._replace(rows=rows)  # type: ignore[arg-type]
