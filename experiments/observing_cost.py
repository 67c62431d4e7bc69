"""What it costs a run to be observed: per step, per log window, per validation.

    WANDB_MODE=offline python -m experiments.observing_cost

No model is trained: the loop's own `Observer` is told of steps that do nothing, so what is timed is
the observing alone. Medians over repetitions. Weights & Biases runs in whatever WANDB_MODE says.
``docs/training.md`` holds the numbers.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from gmsdi_jax.config import TrainConfig
from gmsdi_jax.train.feed import Feed
from gmsdi_jax.train.observe import Observer, Sample
from gmsdi_jax.types import Batch


class _Nothing:
    """Batches that are there at once."""

    def __next__(self) -> Batch:
        return Batch(np.zeros(0), np.zeros(0), None)  # type: ignore[arg-type]

    def get_state(self) -> dict:
        return {}

    def set_state(self, state: dict, /) -> None: ...


def measure(config: TrainConfig, repeat: int, window: int) -> dict[str, float]:
    """Seconds per step, per log window and per validation."""
    observer = Observer(config, lambda line: None)
    observer.open(None)
    feed, metrics = Feed(_Nothing(), lambda batch: batch), {"loss": jnp.ones(())}
    values = {f"metric {i}": 0.5 for i in range(12)}
    rng, number = np.random.default_rng(0), [0]
    stems = 0.1 * rng.standard_normal((4, window)).astype(np.float32)
    labels = ("Bass", "Drums", "Guitar", "Piano")
    samples = [Sample(f"T{i}", labels, stems.sum(0), stems, stems, 22050) for i in range(3)]

    def step() -> None:
        number[0] += 1
        observer.next_batch(feed)
        with observer.step(number[0]):
            pass
        observer.stepped(number[0], metrics)

    step()
    times = {
        "step": _median(step, 200 * repeat),
        "log window": _median(lambda: observer.write(number[0], values), repeat),
        "validation": _median(lambda: observer.show(number[0], samples, 1.0), 3),
    }
    with observer.during("stop"):
        observer.close()
    return times


def _median(act: Callable[[], object], repeat: int) -> float:
    spent = []
    for _ in range(repeat):
        began = time.perf_counter()
        act()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def main() -> None:
    """Prints a table of all destinations."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repeat", type=int, default=50, help="log windows that are timed")
    parser.add_argument("--window", type=int, default=2**17, help="samples per window of sound")
    options = parser.parse_args()
    cases = {
        "files alone": {},
        "with TensorBoard": {"tensorboard": True},
        "with Weights & Biases": {"wandb": "observing-cost"},
    }
    print(f"{'':24}{'us per step':>14}{'ms per window':>16}{'s per validation':>18}")
    for name, more in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            config = TrainConfig(data=Path(folder), out=Path(folder) / "run", **more)
            config.out.mkdir()
            found = measure(config, options.repeat, options.window)
        print(
            f"{name:24}{found['step'] * 1e6:>14.0f}{found['log window'] * 1e3:>16.2f}"
            f"{found['validation']:>18.2f}"
        )


if __name__ == "__main__":
    main()
