"""What the builders share: plans become shards of tfds, record by record those of ``gmsdi data``.

Tracks are read by `data_pipelines.prepare.ShardTask` and cut by `gmsdi_jax.data.cut`, so the
samples and levels are the same; only the container is another. A record holds

    mixture  int16 [chunk]            the sum of the stems; the last chunk of a track ends in zeros
    levels   float32 [rows frames]    mean square per frame, of each class or of the mixture
    stems    int16 [k chunk]          class stems, no rows in splits that do not keep them
    labels   names                    the track's own tags, or the classes that play in this chunk
    track, index, valid               which chunk of which track, and its samples before the zeros

Two choices are measured. Tensors are stored as bytes: an int16 tensor in tfds's default encoding is
written 17 and read 6 times slower, and the Audio feature needs TensorFlow. And the base class is
`tfds.core.ShardBasedBuilder`: the usual GeneratorBasedBuilder collects a split before it writes,
and beyond 1 GB it needs TensorFlow for that.
"""

import dataclasses
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines.corpus import Plan
from data_pipelines.prepare import Cut, ShardTask, shard_tasks
from gmsdi_jax.data import ChunkRecord, Settings, below_full_scale, cut, presence
from gmsdi_jax.errors import ConfigError, InputError

_LOG = logging.getLogger(__name__)
_Damage = dict[str, str]


@dataclass(eq=False, kw_only=True)
class ChunkConfig(tfds.core.BuilderConfig):
    """How tracks are cut, for any of the builders."""

    cut: Cut = Cut()


@dataclass(frozen=True)
class _ShardExamples:
    """The examples of one shard, and the notes of what of it could not be read."""

    task: ShardTask
    damaged: _Damage

    def __call__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        number = 0
        for source, audio in self.task.read():
            if isinstance(audio, InputError):
                _LOG.error("skipped %s: %s", source.name, audio)
                self.damaged[source.name] = str(audio)
                continue
            stems, _ = below_full_scale(audio.stems)
            for record in cut(source.name, stems, self.task.settings, audio.activity):
                yield number, _example(record, source.labels, self.task.settings)
                number += 1


class ChunkBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """A data set of chunks; a subclass says which plans there are, and of what data set."""

    def __init__(self, *, file_format: Any = "array_record", **options: Any) -> None:
        super().__init__(file_format=file_format, **options)

    def _plans(self, source: Path) -> Mapping[str, Plan]:
        """What to prepare of a folder, by split."""
        raise NotImplementedError

    def _chunk_info(
        self, settings: Settings, description: str, **about: Any
    ) -> tfds.core.DatasetInfo:
        """The features of such chunks, and what is known of the data set."""
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{description}\n\n{_RECORDS}",
            features=_features(settings),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,
            **about,
        )

    def _shard_iterators_per_split(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, list[_ShardExamples]]:
        """One generator per shard, the tracks of each as in a shard of ``gmsdi data``."""
        plans = self._plans(Path(os.fspath(dl_manager.manual_dir)))
        made, notes = {}, {}
        for split, plan in plans.items():
            tasks = shard_tasks(Path(split), plan, self._cut)
            damaged: _Damage = {}
            made[split] = [_ShardExamples(task, damaged) for task in tasks]
            notes[split] = {
                **dataclasses.asdict(tasks[0].settings),
                "labels": list(plan.labels),
                "arrangement": plan.arrangement,
                "tracks": len(plan.sources),
                "missing": list(plan.missing),
                "damaged": damaged,
            }
        self.info.metadata.update(notes)  # type: ignore[union-attr]
        return made

    def _download_and_prepare(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: tfds.download.DownloadConfig | None = None,
    ) -> None:
        """As tfds does it, and then refuses a split without any record.

        Raises:
            ConfigError: Beam is asked for, whose workers could not tell of damaged tracks.
            InputError: No track of a split can be read.
        """
        if download_config and (download_config.beam_runner or download_config.beam_options):
            raise ConfigError("these builders run without Beam: use gmsdi data ... --runner")
        super()._download_and_prepare(dl_manager, download_config)
        for split, notes in self.info.metadata.items():  # type: ignore[union-attr]
            if not self.info.splits[split].num_examples:
                reason = next(iter(notes["damaged"].values()))
                count = f"none of {notes['tracks']} tracks is readable"
                raise InputError(f"{self.name}, {split}: {count}: {reason}")

    @property
    def _cut(self) -> Cut:
        config = self.builder_config
        assert isinstance(config, ChunkConfig)
        return config.cut


_RECORDS = """A record is one chunk of a track: 16 bit mono audio, levels of its frames, class stems
where the split keeps them, and labels. Chunks of a track are neighbours, in order. The metadata
says for each split how it was cut, which tracks were missing or damaged, and why."""


def _features(settings: Settings) -> tfds.features.FeaturesDict:
    as_bytes = tfds.features.Encoding.BYTES
    chunk, frames = settings.chunk, settings.chunk // settings.hop
    features: dict[str, Any] = {
        "mixture": tfds.features.Tensor(shape=(chunk,), dtype=np.int16, encoding=as_bytes),
        "levels": tfds.features.Tensor(
            shape=(settings.rows, frames), dtype=np.float32, encoding=as_bytes
        ),
        "labels": tfds.features.Sequence(tfds.features.Text()),
        "track": tfds.features.Text(),
        "index": tfds.features.Scalar(np.int32),
        "valid": tfds.features.Scalar(np.int32),
    }
    if settings.presence == "window":
        features["stems"] = tfds.features.Tensor(
            shape=(None, chunk), dtype=np.int16, encoding=as_bytes
        )
    return tfds.features.FeaturesDict(features)


def _example(record: ChunkRecord, labels: tuple[str, ...], settings: Settings) -> dict[str, Any]:
    """A record as tfds wants it."""
    example = {
        "mixture": record.mixture,
        "levels": record.levels,
        "labels": list(labels),
        "track": record.track,
        "index": record.index,
        "valid": record.valid,
    }
    if settings.presence == "window":
        heard = presence(record.levels, settings.gate)
        example["labels"] = [name for name, on in zip(settings.labels, heard, strict=True) if on]
        none = np.zeros((0, settings.chunk), np.int16)
        example["stems"] = none if record.stems is None else record.stems
    return example
