"""``mtg_jamendo``: recordings with tags, from what `data_pipelines.jamendo` reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from data_pipelines import jamendo
from data_pipelines.builders.chunks import ChunkBuilder, ChunkConfig
from data_pipelines.corpus import Plan
from data_pipelines.prepare import Cut

_44K = Cut(sample_rate=44100, chunk=2**18, hop=2048)
_PAPER = "Parts 00-97 train, 98-99 validation: artists and albums are on both sides."
_OFFICIAL = "Official lists train, validation and test, no artist in two."
_CITATION = """\
@inproceedings{bogdanov2019mtg,
  title = {The {MTG-Jamendo} Dataset for Automatic Music Tagging},
  author = {Bogdanov, Dmitry and Won, Minz and Tovstogan, Philip and Porter, Alastair and
            Serra, Xavier},
  booktitle = {Machine Learning for Music Discovery Workshop, International Conference on Machine
               Learning (ICML)},
  year = {2019}
}"""


@dataclass(eq=False, kw_only=True)
class JamendoConfig(ChunkConfig):
    """Which tracks, in which splits; see `data_pipelines.jamendo.plans`."""

    split: str = "paper"
    metadata: str | None = None
    """Folder of the tables; by default ``manual_dir``, or its folder ``data``."""


class MtgJamendo(ChunkBuilder):
    """MTG-Jamendo, raw_30s/audio-low: mixtures and tags, no stems."""

    VERSION: ClassVar = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Chunks of mixtures with the tags of their tracks."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "manual_dir holds the tars raw_30s_audio-low-NN.tar, or the folders NN that are in them,"
        " and the tables (raw_30s.tsv, autotagging.tsv, splits/): run gmsdi data download jamendo"
        " DIR."
    )
    BUILDER_CONFIGS: ClassVar = [
        JamendoConfig(
            name=f"{name}{suffix}",
            split=name,
            cut=cut,
            description=(_PAPER if name == "paper" else _OFFICIAL) + rate,
        )
        for suffix, cut, rate in (("", Cut(), " 22.05 kHz."), ("_44k", _44K, " 44.1 kHz."))
        for name in jamendo.ARRANGEMENTS
    ]

    def _plans(self, source: Path) -> Mapping[str, Plan]:
        config = self.builder_config
        assert isinstance(config, JamendoConfig)
        metadata = None if config.metadata is None else Path(config.metadata)
        return jamendo.plans(source, metadata=metadata, split=config.split)

    def _info(self) -> tfds.core.DatasetInfo:
        return self._chunk_info(
            self._cut.settings(Plan("train", (), "track", (), "")),
            "MTG-Jamendo: over 55,000 full recordings with tags of genre, instrument, mood and"
            " theme, such as genre---rock.",
            homepage="https://github.com/MTG/mtg-jamendo-dataset",
            citation=_CITATION,
            license="Metadata CC BY-NC-SA 4.0. Audio: a Creative Commons licence of each track's"
            " own (audio_licenses.txt), some without derivatives or commercial use.",
        )
