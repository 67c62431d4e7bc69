"""The same preparation as an Apache Beam job: on Dataflow, Flink or Spark, or on this machine.

The unit of work is the same shard (`data_pipelines.prepare.ShardTask`), so a job is three steps:

    numbers of the shards that are not finished | Reshuffle | read the tracks and write the shard

and then the launcher joins the shards, as a local run does. The output is the same, byte for byte,
and so is what happens to a job that was stopped: the next one, or a local run, goes on with what
is not finished.

**SRC and OUT are folders of a file system that the launcher and all workers share** and see under
the same absolute paths: NFS such as Filestore, Lustre, or a mounted bucket. ArrayRecord writes
plain files, so ``gs://`` paths will not do. Every worker needs this package: a container image for
Dataflow (``sdk_container_image``), or the same environment on the nodes of Flink and Spark.

apache-beam needs older protobuf and pyarrow than ``constraints.txt`` pins. It lives in an
environment of its own, installed without them:

    python3 -m venv .venv-beam && .venv-beam/bin/pip install -e ".[beam]"
    .venv-beam/bin/gmsdi data slakh SRC OUT --runner DirectRunner

Dataflow also needs ``apache-beam[gcp]``, and ``--runner DataflowRunner`` with ``--beam-option``
once for each of ``project=``, ``region=``, ``temp_location=``, ``sdk_container_image=``.
"""

import io
import pickle
import re
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from data_pipelines.corpus import Plan
from data_pipelines.prepare import Advance, Cut, ShardTask, finished, join, locked, shard_tasks
from gmsdi_jax.data import Manifest, ShardReport
from gmsdi_jax.errors import ConfigError, InputError, OutputError, UnavailableError

Runner = Literal["DirectRunner", "DataflowRunner", "FlinkRunner", "SparkRunner"]
PATIENCE = 90.0
"""Seconds that a network file system may take until the launcher sees what the workers wrote."""

_OPTION = re.compile(r"[A-Za-z]\w*(=.*)?", re.DOTALL)
# What DirectRunner comes down to; on its way there it downloads a program and tries that first.
_NAMES = {"DirectRunner": "FnApiRunner"}


def pipeline_options(runner: Runner, options: Sequence[str] = ()) -> Any:
    """The ``PipelineOptions`` of a runner.

    Args:
        runner: Where the job runs.
        options: Beam's own, each as ``KEY=VALUE``, or ``KEY`` for a switch, without dashes.

    Raises:
        ConfigError: One is not of that form, or its value cannot be used.
        UnavailableError: apache-beam is not installed.
    """
    _beam()
    from apache_beam.options import pipeline_options  # pyright: ignore[reportMissingImports]

    for option in options:
        if not _OPTION.fullmatch(option):
            raise ConfigError(f"a Beam option is KEY=VALUE, as in region=europe-west4: {option!r}")
    made = pipeline_options.PipelineOptions(
        [f"--runner={_NAMES.get(runner, runner)}", *(f"--{option}" for option in options)]
    )
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            made.get_all_options()
    except SystemExit:  # how argparse answers
        raise ConfigError(f"Beam options: {said.getvalue().splitlines()[-1]}") from None
    return made


def prepare_with_beam(
    plans: Mapping[str, Plan],
    out: Path,
    cut: Cut,
    pipeline_options: Any,
    *,
    on_progress: Callable[[Advance], None] = lambda advance: None,
) -> dict[str, Manifest]:
    """Makes the shards of every split that is not finished yet, all splits in one job.

    Args:
        plans: What to prepare, by split.
        out: Where the shards go, on a file system that all workers share.
        cut: How.
        pipeline_options: Beam's ``PipelineOptions``: the runner and what it needs to know.
        on_progress: Called for every shard, once the job has ended.

    Returns:
        The manifest of each split, as `data_pipelines.prepare.prepare` does.

    Raises:
        InputError: A split has no track that can be read.
        ConfigError: ``out`` is not absolute, or holds a split that was made of other tracks or with
            other settings.
        OutputError: ``out`` cannot be written, the job failed, or its files are not there.
        UnavailableError: apache-beam is not installed.
    """
    _beam()
    if not out.is_absolute():
        raise ConfigError(f"{out}: a Beam job needs the whole path, which its workers see as well")
    done = {name: finished(out / name, plan, cut) for name, plan in plans.items()}
    failures: list[InputError] = []
    with locked(out):
        tasks = {
            name: shard_tasks(out / name, plan, cut)
            for name, plan in plans.items()
            if done[name] is None
        }
        reports = _written([task for group in tasks.values() for task in group], pipeline_options)
        for name, group in tasks.items():
            own = [reports.pop(0) for _ in group]
            _announce(name, group, own, on_progress)
            try:
                done[name] = join(out / name, plans[name], cut, own)
            except InputError as error:  # the other splits are good all the same
                failures.append(error)
    if failures:
        raise InputError("; ".join(map(str, failures)))
    return {name: manifest for name, manifest in done.items() if manifest is not None}


@dataclass(frozen=True)
class _WriteShard:
    """Writes the shard of a number; the tasks travel packed.

    As elements of the pipeline, the 7000 shards of MTG-Jamendo with their tags would be 41 MB,
    more than Dataflow takes in one request (10 MB); packed together they are 2 MB.
    """

    packed: bytes = field(repr=False)

    @classmethod
    def of(cls, tasks: Sequence[ShardTask]) -> "_WriteShard":
        return cls(zlib.compress(pickle.dumps(list(tasks), pickle.HIGHEST_PROTOCOL)))

    @cached_property
    def _tasks(self) -> list[ShardTask]:
        return pickle.loads(zlib.decompress(self.packed))

    def __call__(self, number: int) -> int:
        self._tasks[number].write()
        return number


def _written(tasks: Sequence[ShardTask], options: Any) -> list[ShardReport]:
    """The reports of all shards, in order; the finished ones of an earlier run are kept."""
    reports = [task.finished() for task in tasks]
    # A damaged track may have been mended.
    waiting = [n for n, report in enumerate(reports) if report is None or report.damaged]
    if waiting:
        _run([tasks[n] for n in waiting], options)
    deadline = time.monotonic() + PATIENCE
    for n in waiting:
        while (report := tasks[n].finished()) is None:
            if time.monotonic() > deadline:
                raise OutputError(
                    f"{tasks[n].folder} lacks shard {tasks[n].place} after the job: OUT must be a "
                    "folder that the launcher and all workers share"
                )
            time.sleep(1)
        reports[n] = report
    return [report for report in reports if report is not None]


def _run(tasks: Sequence[ShardTask], options: Any) -> None:
    """Runs the job to its end."""
    beam = _beam()
    try:
        pipeline = beam.Pipeline(options=options)
        _ = (
            pipeline
            | "Shards" >> beam.Create(range(len(tasks)))
            | "Spread" >> beam.Reshuffle()
            | "Write" >> beam.Map(_WriteShard.of(tasks))
        )
        result = pipeline.run()
        try:
            result.wait_until_finish()
        except KeyboardInterrupt:
            result.cancel()  # or the cluster would go on alone
            raise
    except Exception as error:  # of any runner, with the workers' traces as text
        reason = ([line for line in str(error).splitlines() if line.strip()] or ["?"])[-1].strip()
        message = f"the Beam job failed, {reason}: run again, finished shards are kept"
        raise OutputError(message) from error
    if result.state != "DONE":
        raise OutputError(f"the Beam job ended as {result.state}: run again, it goes on there")


def _announce(
    split: str,
    tasks: Sequence[ShardTask],
    reports: Sequence[ShardReport],
    on_progress: Callable[[Advance], None],
) -> None:
    """Tells of every shard of a split."""
    done, total = 0, sum(len(task.sources) for task in tasks)
    for task, report in zip(tasks, reports, strict=True):
        done += len(task.sources)
        on_progress(Advance(split, done, total, report.damaged))


def _beam() -> ModuleType:
    try:
        import apache_beam  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        advice = 'in an environment of its own, pip install "gmsdi-jax[beam]"'
        raise UnavailableError(f"apache-beam is not installed: {advice}") from error
    return apache_beam
