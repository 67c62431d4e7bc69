"""Event files for TensorBoard, in ``OUT/tensorboard``.

tensorboardX knows the format, and no TensorFlow is needed. Its `SummaryWriter` is not used: it
hands events to a thread, and where that thread dies (a disk is full), the run waits for ever in a
full queue. An event is written where it arises, once per log window.

A resumed run writes a new file that begins with a mark: what older files hold from the next step on
is not shown any more (``purge_step``).
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gmsdi_jax.errors import OutputError
from gmsdi_jax.train.observe.picture import compare
from gmsdi_jax.train.observe.samples import Sample


class TensorBoard:
    """A writer of event files; once begun it fails with one line, and then writes no more."""

    def __init__(
        self,
        folder: Path,
        resume_at: int | None,
        on_event: Callable[[str], None] = lambda line: None,
    ):
        """A new event file, whatever else the folder holds.

        Args:
            folder: where event files lie; one per start of the run.
            resume_at: the step that is gone on from; None for a new run.
            on_event: told one line when writing fails.

        Raises:
            OutputError: the folder cannot be written.
        """
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2

        self._folder, self._say = folder, on_event
        self._events: Any = event_pb2
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # The name holds seconds only: two starts within one would share a file.
            self._file: Any = EventsWriter(str(folder / "events"), f".{time.time_ns()}")
        except OSError as error:
            raise OutputError(
                f"{folder}: cannot write event files ({error.strerror}); leave --tensorboard out"
            ) from error
        if resume_at is not None:
            step = resume_at + 1
            events = self._events
            begun = events.SessionLog(status=events.SessionLog.START)
            self._write(events.Event(step=step, file_version="brain.Event:2"))
            self._write(events.Event(step=step, session_log=begun))
        self._flush()

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Records numbers; those that are not finite are left out, for they spoil a chart."""
        from tensorboardX import summary

        for name, value in values.items():
            if isinstance(value, int | float) and math.isfinite(value):
                self._write(self._at(step, summary.scalar(name, value)))
        self._flush()

    def show(self, step: int, samples: Sequence[Sample]) -> None:
        """Records the model's stems as sound, and each as a picture below the truth."""
        from tensorboardX import summary

        for sample in samples:
            for number, label in enumerate(sample.labels):
                tag = f"{sample.name}/{label}"
                sound = np.clip(np.nan_to_num(sample.estimates[number]), -1, 1)
                self._write(self._at(step, summary.audio(tag, sound, sample.rate)))
                seen = summary.image(tag, compare(sample, number), dataformats="HW")
                self._write(self._at(step, seen))
        self._flush()

    def close(self) -> None:
        """Closes the file."""
        self._attempt(lambda file: file.close())
        self._file = None

    def _at(self, step: int, summary: Any) -> Any:
        return self._events.Event(step=step, summary=summary)

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._attempt(lambda file: file.write_event(event))

    def _flush(self) -> None:
        self._attempt(lambda file: file.flush())

    def _attempt(self, act: Callable[[Any], object]) -> None:
        if self._file is None:
            return
        try:
            act(self._file)
        except OSError as error:
            self._file = None
            self._say(
                f"{self._folder}: {error.strerror or error}: no more events for TensorBoard until "
                "the run is resumed"
            )
