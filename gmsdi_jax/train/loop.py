"""The loop: batches in, states out, everything on disk that an exact resume needs.

A run's folder holds ``config.json`` (the whole configuration), ``metrics.jsonl``, ``checkpoints/``
and ``best/``, the averaged weights with the highest validation score so far, ready for ``gmsdi
separate -m``. Resuming continues the data order and the noise exactly, so the loss curve is the
one that an uninterrupted run writes, bit for bit.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from gmsdi_jax.build import Model
from gmsdi_jax.config import TrainConfig, to_json
from gmsdi_jax.distributed import is_first, place_batch, training_mesh, wait_for_all, whole
from gmsdi_jax.errors import ConfigError, NumericsError, OutputError, PreemptedError
from gmsdi_jax.train.checkpoint import About, Checkpoints
from gmsdi_jax.train.feed import Batches, Feed
from gmsdi_jax.train.metrics import JsonLines, WeightsAndBiases, Writer, best_score
from gmsdi_jax.train.state import make_optimizer, make_state
from gmsdi_jax.train.step import Metrics, make_step, report
from gmsdi_jax.train.stop import Stop
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
    resume: bool = False,
    on_progress: Callable[[int, dict[str, Any]], None] = lambda step, values: None,
    on_event: Callable[[str], None] = lambda line: None,
) -> TrainState:
    """Trains to ``config.steps`` and returns the last state.

    Args:
        config: the run.
        batches: training data; its position is saved with every checkpoint.
        validate: called every ``config.eval_every`` steps with the averaged weights.
        embed: what becomes of a batch before its step: labels or audio to frozen embeddings.
        resume: continue the run in ``config.out``; without it that folder must not hold one.
        on_progress: called after every step with its number and, when there are any, new metrics.
        on_event: told one line when a checkpoint is damaged and an older one is used.

    Raises:
        ConfigError: the folder holds a run and `resume` is off, or holds a different run.
        UnavailableError: there are checkpoints, and none of them is good.
        NumericsError: the loss is not finite; the last checkpoint is kept.
        OutputError: a checkpoint could not be written; those before it are whole.
        PreemptedError: SIGTERM or SIGINT came; the step in flight was finished and saved.
        KeyboardInterrupt: a second SIGINT came, or a caller raised it; the last step was saved.
    """
    mesh = training_mesh(config.fsdp)
    model = Model(config.model)
    optimizer = make_optimizer(config.optimizer, config.steps)
    step = make_step(model, config, optimizer, mesh)
    _claim(config, resume)
    state = make_state(model, optimizer, config.seed, mesh)
    about = About(config.seed, to_json(config))
    checkpoints = Checkpoints(
        config.out / "checkpoints", config.keep, about=about, on_event=on_event
    )
    pending: list[Metrics] = []
    found = checkpoints.resume(state) if resume else None
    if found is not None:
        state, position = found
        batches.set_state(position["data"])
        pending = _from_json(position["pending"])
    start = int(state.step)
    writers = _writers(config, start if resume else None) if is_first() else []
    feed = Feed(batches, lambda batch: place_batch(_numbered(embed(batch)), mesh))
    run = _Run(config, step, feed, checkpoints, writers, mesh)
    try:
        with Stop() as stop:
            return run.advance(state, start, pending, stop, validate, on_progress)
    finally:
        checkpoints.close()
        for writer in writers:
            writer.close()


class _Run:
    """The parts of a run that stay while its state changes."""

    def __init__(
        self, config, step_function, feed: Feed, checkpoints, writers: list[Writer], mesh: Mesh
    ):
        self.config, self.step_function, self.feed, self.mesh = config, step_function, feed, mesh
        self.checkpoints, self.writers = checkpoints, writers

    def advance(
        self,
        state: TrainState,
        start: int,
        pending: list[Metrics],
        stop: Stop,
        validate,
        on_progress,
    ) -> TrainState:
        config = self.config
        try:
            for step in range(start + 1, config.steps + 1):
                state, metrics = self.step_function(state, next(self.feed))
                pending.append(metrics)
                values: dict[str, Any] = {}
                if step % config.log_every == 0:
                    values = self._finite(report(pending), step)
                    if validate and config.eval_every and step % config.eval_every == 0:
                        values |= self._validated(state, validate)
                    for writer in self.writers:
                        writer.write(step, values)
                    pending.clear()
                if step % config.save_every == 0 or step == config.steps:
                    self._save(step, state, pending)
                self.checkpoints.check()
                on_progress(step, values)
                if step < config.steps and stop.agreed(step):
                    self._save(step, state, pending)
                    raise PreemptedError(
                        f"{stop.reason or 'a signal to another process'}: stopped and saved at "
                        f"step {step}; the same command with --resume auto goes on"
                    )
        except KeyboardInterrupt:
            done = int(state.step)  # `step` may have moved on already
            if done > start and len(pending) == done % config.log_every:
                self._save(done, state, pending)
            raise
        return state

    def _save(self, step: int, state: TrainState, pending: list[Metrics]) -> None:
        """The metrics of a log window that is not full travel along: its line will be the same."""
        position = {"data": self.feed.get_state(), "pending": _to_json(pending)}
        self.checkpoints.save(step, state, position)

    def _finite(self, values: dict[str, float], step: int) -> dict[str, float]:
        if not math.isfinite(values["loss"]):
            raise NumericsError(
                f"the loss is {values['loss']} at step {step}: resume from the last checkpoint in "
                f"{self.config.out / 'checkpoints'} with a lower optimizer.rate"
            )
        return values

    def _validated(self, state: TrainState, validate: Validate) -> dict[str, float]:
        path = self.config.out / "metrics.jsonl"
        average = jax.tree.map(np.asarray, whole(state.ema, self.mesh))
        scores = validate(average)
        if is_first() and scores["score"] > best_score(path, "score"):
            save_model(self.config.out / "best", self.config.model, average)
        return scores


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


def _writers(config: TrainConfig, resume_at: int | None) -> list[Writer]:
    writers: list[Writer] = [JsonLines(config.out / "metrics.jsonl", resume_at)]
    if config.wandb:
        writers.append(WeightsAndBiases(config.wandb, config.out.name, to_json(config)))
    return writers


def _claim(config: TrainConfig, resume: bool) -> None:
    """Writes ``config.json`` for a new run; refuses to mix two runs in one folder."""
    path, values = Path(config.out) / "config.json", to_json(config)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        begun = path.exists()
        wait_for_all("every process has looked for a run")
        if begun:
            if not resume:
                raise ConfigError(
                    f"{config.out}: holds a run; add --resume auto, or name another --out"
                )
            _same(json.loads(path.read_text()), values, path)
        elif is_first():
            path.write_text(json.dumps(values, indent=2) + "\n")
    except OSError as error:
        raise OutputError(f"{config.out}: cannot write the run ({error.strerror})") from error


_FREE = {"out", "data", "encoder", "keep", "wandb", "save_every", "steps", "fsdp", "accumulate"}
"""Keys that may change on resuming; `steps` before its decay begins, lest the curve changes."""


def _same(old: dict[str, Any], new: dict[str, Any], path: Path) -> None:
    changed = [k for k in sorted({*old, *new} - _FREE) if old.get(k) != new.get(k)]
    if changed:
        detail = ", ".join(f"{k} was {old.get(k)!r}, is {new.get(k)!r}" for k in changed[:3])
        raise ConfigError(f"{path}: another run is here ({detail}); name another --out")
