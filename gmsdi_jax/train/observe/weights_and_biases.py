"""A run on Weights & Biases, for those who ask for it.

wandb's own settings hold: WANDB_MODE (offline, disabled), WANDB_ENTITY, WANDB_BASE_URL; the login
is that of ``wandb login`` or WANDB_API_KEY, and nothing here reads, prints or stores the key. A
run's id is kept in ``OUT/wandb/id``, so that every start goes on with the same run.

What cannot work ends a *new* run at once, with one line, for its user is there to read it. A
*resumed* one goes on offline: a machine that came back in the night must not wait for a service
that computes nothing. Once begun, nothing about wandb ends or holds up a run.
"""

import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gmsdi_jax.errors import UnavailableError
from gmsdi_jax.train.observe.picture import compare
from gmsdi_jax.train.observe.samples import Sample

START_SECONDS, END_SECONDS = 60.0, 20.0
"""Longest waits: for the service when a run begins, for uploads when it ends."""


class WeightsAndBiases:
    """A writer; once begun it fails with one line, and then writes no more."""

    def __init__(
        self,
        project: str,
        folder: Path,
        config: dict[str, Any],
        *,
        resumed: bool = False,
        on_event: Callable[[str], None] = lambda line: None,
    ):
        """Begins a run, or goes on with the one of this folder.

        Args:
            project: on Weights & Biases.
            folder: of the run; its name is the run's name.
            config: what is shown beside the curves.
            resumed: the run has steps already.
            on_event: told one line when wandb fails.

        Raises:
            UnavailableError: a new run, and no login, no network or no such project.
        """
        self._say, self._folder, self._shown = on_event, folder, resumed
        name = folder.resolve().name
        try:
            import wandb  # slow to import, and most runs do without

            self._wandb = wandb
            self._run: Any = self._begin(project, name, config, None)
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            if not resumed:
                raise UnavailableError(
                    f"wandb does not start ({reason}): run `wandb login`, or set "
                    "WANDB_MODE=offline, or leave --wandb out"
                ) from error
            on_event(f"wandb does not start ({reason}): logging to {folder / 'wandb'}, to be sent "
                     "with `wandb sync`")  # fmt: skip
            self._run = self._begin_offline(project, name, config)
        self._attempt(lambda run: run.define_metric("*", step_metric="step"))

    def _begin(self, project: str, name: str, config: dict[str, Any], mode: str | None) -> Any:
        wandb = self._wandb
        mode = mode or os.environ.get("WANDB_MODE") or "online"
        if mode == "online" and not wandb.login(prompt=False):
            raise PermissionError("not logged in")  # it would ask, and wait for an answer
        settings = wandb.Settings(
            console="off",
            init_timeout=START_SECONDS,
            finish_timeout=END_SECONDS,
            silent=True,
            save_code=False,
            disable_git=True,
        )
        return wandb.init(
            project=project,
            name=name,
            id=_id(self._folder, name),
            dir=self._folder,
            resume="allow",
            config=config,
            mode=mode,  # type: ignore[arg-type]
            settings=settings,
        )

    def _begin_offline(self, project: str, name: str, config: dict[str, Any]) -> Any:
        try:
            self._wandb.teardown()
            return self._begin(project, name, config, "offline")
        except Exception as error:
            self._say(f"wandb does not start offline either ({error}): going on without")
            return None

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Logs one row; ``step`` is a value of the row, so resumed rows are not dropped."""
        self._attempt(lambda run: run.log({"step": step, **values}))

    def show(self, step: int, samples: Sequence[Sample]) -> None:
        """Logs a table: a row per stem, with the model's sound and spectrograms.

        What never changes, the mixtures and the true stems, is a table of its own, sent once.
        """
        if not self._shown:
            self._attempt(lambda run: run.log({"step": step, "truth": self._truth(samples)}))
        self._shown = True
        self._attempt(lambda run: run.log({"step": step, "samples": self._estimates(samples)}))

    def _truth(self, samples: Sequence[Sample]) -> Any:
        table = self._wandb.Table(columns=["window", "stem", "sound"])
        for sample in samples:
            table.add_data(sample.name, "mixture", self._sound(sample.mixture, sample.rate))
            for label, stem in zip(sample.labels, sample.stems, strict=True):
                table.add_data(sample.name, label, self._sound(stem, sample.rate))
        return table

    def _estimates(self, samples: Sequence[Sample]) -> Any:
        columns = ("window", "stem", "estimate", "mixture, truth, estimate")
        table = self._wandb.Table(columns=list(columns))
        for sample in samples:
            for number, label in enumerate(sample.labels):
                heard = self._sound(sample.estimates[number], sample.rate)
                seen = self._wandb.Image(compare(sample, number))
                table.add_data(sample.name, label, heard, seen)
        return table

    def _sound(self, audio: np.ndarray, rate: int) -> Any:
        return self._wandb.Audio(np.clip(np.nan_to_num(audio), -1, 1), sample_rate=rate)

    def close(self) -> None:
        """Finishes the run; what is not sent in `END_SECONDS` stays on disk."""
        self._attempt(lambda run: run.finish())
        self._run = None

    def _attempt(self, act: Callable[[Any], object]) -> None:
        if self._run is None:
            return
        try:
            act(self._run)
        except Exception as error:
            self._run = None
            self._say(f"wandb failed ({' '.join(str(error).split())[:200]}): going on without it")


def _id(folder: Path, name: str) -> str:
    """A run's id: its own, for two runs may have folders of one name."""
    path = folder / "wandb" / "id"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:80]
        path.write_text(f"{safe}-{secrets.token_hex(4)}\n")
    return path.read_text().strip()
