"""The same preparation as data sets of TensorFlow Datasets, without TensorFlow.

    import tensorflow_datasets as tfds
    import data_pipelines.builders  # registers slakh2100, minislakh and mtg_jamendo

    builder = tfds.builder("slakh2100/redux")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=SRC))
    train = builder.as_data_source("train")  # or tfds.data_source("slakh2100/redux", split="train")
    grain.MapDataset.source(train).seed(0).shuffle()...

SRC is the folder that ``gmsdi data`` takes: nothing is downloaded here. A record is one chunk of a
track, the same samples that ``gmsdi data`` writes (see `data_pipelines.builders.chunks`).
`SlakhConfig` and `JamendoConfig` make other sample rates, chunks and splits.

What ``gmsdi data`` does and this does not: go on where a killed run was (tfds throws away what is
not finished), work in parallel, keep levels and a histogram of labels beside the records. Training
with this library reads the shards of ``gmsdi data``.

Importing this module imports tensorflow_datasets; nothing else here does.
"""

from data_pipelines.builders.chunks import ChunkConfig
from data_pipelines.builders.mtg_jamendo import JamendoConfig, MtgJamendo
from data_pipelines.builders.slakh2100 import MiniSlakh, Slakh2100, SlakhConfig

__all__ = ["ChunkConfig", "JamendoConfig", "MiniSlakh", "MtgJamendo", "Slakh2100", "SlakhConfig"]
