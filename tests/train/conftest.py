"""A model that trains in milliseconds, and batches in memory."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gmsdi_jax.build import Model
from gmsdi_jax.config import ModelConfig, OptimizerConfig, TrainConfig
from gmsdi_jax.models import SpectralConfig, TagsConfig
from gmsdi_jax.train import loop, make_optimizer, make_step
from gmsdi_jax.train.state import first_state
from gmsdi_jax.types import Batch, Tokens, TrainState

WINDOW = 512


@pytest.fixture(autouse=True)
def promotion_of_optax() -> Iterator[None]:
    """Optax multiplies Python floats with integer counters, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"):
        yield


class MemoryBatches:
    """Sines as mixtures; batch n follows from n alone, as the state of an iterator must be able to.

    Odd rows carry interference; every row has one label.
    """

    def __init__(self, rows: int = 4, mixed: bool = True, scale: float = 1.0) -> None:
        self.rows, self.mixed, self.scale, self.next_index = rows, mixed, scale, 0

    def __next__(self) -> Batch:
        rng = np.random.default_rng([7, self.next_index])
        self.next_index += 1
        t = np.arange(WINDOW) / 22050
        labels = rng.integers(0, 2, self.rows)
        audio = 0.14 * np.sin(2 * np.pi * 500 * (1 + labels[:, None]) * t)
        other = 0.14 * np.sin(2 * np.pi * 500 * (2 - labels[:, None]) * t)
        mixed = (np.arange(self.rows) % 2 == 1)[:, None] & self.mixed
        tokens = Tokens(
            jnp.asarray(np.tile(np.arange(4, dtype=np.int32), (self.rows, 1))),
            jnp.asarray(np.eye(4, dtype=bool)[labels]),
        )
        return Batch(
            jnp.asarray(self.scale * audio[..., None], jnp.float32),
            jnp.asarray((other * mixed)[..., None], jnp.float32),
            tokens,
        )

    def get_state(self) -> dict[str, Any]:
        return {"next_index": self.next_index}

    def set_state(self, state: dict[str, Any], /) -> None:
        self.next_index = state["next_index"]


@pytest.fixture
def batches() -> type[MemoryBatches]:
    """The class, to be made with the rows that a test wants."""
    return MemoryBatches


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., TrainConfig]:
    """A run of six steps that logs and saves every third."""
    network = SpectralConfig(
        text_features=8, fft=128, fine_bins=32, width=16, dilations=(1,), components=2
    )

    def make(**changes: Any) -> TrainConfig:
        settings: dict[str, Any] = {
            "data": tmp_path / "data",
            "out": tmp_path / "run",
            "model": ModelConfig(
                network=network, conditioner=TagsConfig(features=8), window=WINDOW
            ),
            "optimizer": OptimizerConfig(rate=3e-2, warmup=2, ema=0.9),
            "null": 0.5,
            "window": WINDOW,
            "batch": 4,
            "steps": 6,
            "log_every": 3,
            "save_every": 3,
            "eval_every": 3,
        }
        return TrainConfig(**(settings | changes))

    return make


@pytest.fixture(scope="session")
def made() -> dict[Any, Any]:
    """What was made of a configuration once, for all tests: compiling takes seconds."""
    return {}


def curve(config: TrainConfig) -> TrainConfig:
    """The configuration without what leaves the training itself alone."""
    here = Path()
    return dataclasses.replace(
        config, data=here, out=here, keep=1, wandb=None, log_every=1, save_every=1, eval_every=1
    )


@pytest.fixture(autouse=True)
def made_once(made: dict[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal configurations share one compiled step and their first weights (as copies)."""
    make_state = loop.make_state

    def make_state_once(model: Model, config: TrainConfig, *rest: Any) -> TrainState:
        name = model.config, config.seed, config.averages, config.guard
        if name not in made:
            made[name] = jax.tree.map(np.array, make_state(model, config, *rest))
        return jax.tree.map(jnp.array, made[name])

    def make_step_once(model: Model, config: TrainConfig, optimizer: Any, *mesh: Any) -> Any:
        if curve(config) not in made:
            made[curve(config)] = make_step(model, config, optimizer)
        return made[curve(config)]

    monkeypatch.setattr(loop, "make_state", make_state_once)
    monkeypatch.setattr(loop, "make_step", make_step_once)


@pytest.fixture
def start(config: Callable[..., TrainConfig]) -> Callable[..., tuple[Any, TrainState]]:
    """Makes the step function and the first state of a configuration."""

    def make(**changes: Any) -> tuple[Any, TrainState]:
        settings = config(**changes)
        model, optimizer = Model(settings.model), make_optimizer(settings.optimizer, settings.steps)
        state = first_state(model.init(jax.random.key(settings.seed)), settings, optimizer)
        return loop.make_step(model, settings, optimizer), state

    return make
