"""``slakh2100`` and ``minislakh``: class stems, from what `data_pipelines.slakh` reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from data_pipelines import slakh
from data_pipelines.builders.chunks import ChunkBuilder, ChunkConfig
from data_pipelines.corpus import Plan
from data_pipelines.prepare import Cut
from gmsdi_jax.data import Settings

_44K = Cut(sample_rate=44100, chunk=2**18, hop=2048)
_ARRANGEMENTS: dict[slakh.Arrangement, str] = {
    "folders": "Splits are the folders that the tracks lie in.",
    "original": "Splits by number, as in the paper's protocol; some MIDI files are in several.",
    "redux": "Every MIDI file once: 1710 of the 2100 tracks.",
    "split2": "All 2100 tracks, moved so that no MIDI file is in two splits.",
}
_CITATION = """\
@inproceedings{manilow2019cutting,
  title = {Cutting Music Source Separation Some {Slakh}: A Dataset to Study the Impact of Training
           Data Quality and Quantity},
  author = {Manilow, Ethan and Wichern, Gordon and Seetharaman, Prem and Le Roux, Jonathan},
  booktitle = {IEEE Workshop on Applications of Signal Processing to Audio and Acoustics (WASPAA)},
  year = {2019}
}"""


@dataclass(eq=False, kw_only=True)
class SlakhConfig(ChunkConfig):
    """Which tracks, in which splits, and what labels mean; see `data_pipelines.slakh.plans`."""

    arrangement: slakh.Arrangement = "folders"
    labels: slakh.Labels = "levels"
    splits: tuple[str, ...] = slakh.SPLITS


class _SlakhBuilder(ChunkBuilder, skip_registration=True):
    """Both read the same layouts."""

    def _plans(self, source: Path) -> Mapping[str, Plan]:
        config = self.builder_config
        assert isinstance(config, SlakhConfig)
        return slakh.plans(
            source,
            splits=config.splits,
            arrangement=config.arrangement,
            labels=config.labels,
            hop=config.cut.hop,
        )

    def _settings(self) -> Settings:
        return self._cut.settings(Plan("train", slakh.CLASSES, "window", (), ""))


class Slakh2100(_SlakhBuilder):
    """Slakh2100, from Slakh's own folders or MSDM's."""

    VERSION: ClassVar = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Chunks of class stems, their sum and their levels."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "manual_dir is the folder that holds train, validation and test (and omitted), as the"
        " archive of Zenodo unpacks: run gmsdi data download slakh DIR."
    )
    BUILDER_CONFIGS: ClassVar = [
        SlakhConfig(name=f"{name}{suffix}", arrangement=name, cut=cut, description=words + rate)
        for suffix, cut, rate in (("", Cut(), " 22.05 kHz."), ("_44k", _44K, " 44.1 kHz."))
        for name, words in _ARRANGEMENTS.items()
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        return self._chunk_info(
            self._settings(),
            "Slakh2100: 145 hours of music synthesized from MIDI files. The stems of bass, drums,"
            " guitar and piano are each the sum of all stems of the class, and the mixture is the"
            " sum of the four.",
            homepage="http://www.slakh.com",
            citation=_CITATION,
            license="CC BY 4.0",
        )


class MiniSlakh(_SlakhBuilder):
    """What ``gmsdi data minislakh`` renders."""

    name = "minislakh"
    VERSION: ClassVar = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Chunks of class stems, their sum and their levels."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir is the folder that gmsdi data minislakh DIR makes."
    BUILDER_CONFIGS: ClassVar = [
        SlakhConfig(name="default", description="22.05 kHz."),
        SlakhConfig(name="44k", cut=_44K, description="44.1 kHz."),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        return self._chunk_info(
            self._settings(),
            "MiniSlakh: a small synthetic stand-in for Slakh2100, composed and rendered by this"
            " library in Slakh's layout.",
            license="Yours: what you render. The sounds of the FluidR3_GM soundfont are MIT.",
        )
