"""Prepared audio on disk, and the batches and windows that are read from it.

`ShardWriter` with `finish_split`, and `open_split`, are the two ends of the format;
`training_batches` draws what training reads, `fixed_windows` what evaluation measures on.
"""

from gmsdi_jax.data.embeddings import Embeddings, open_embeddings, write_embeddings
from gmsdi_jax.data.evaluation import FixedWindows, fixed_windows
from gmsdi_jax.data.manifest import MANIFEST, Manifest, Settings, read_manifest
from gmsdi_jax.data.pipeline import training_batches
from gmsdi_jax.data.presence import GATE, label_sets, presence
from gmsdi_jax.data.records import ChunkRecord, below_full_scale, cut, decode, encode
from gmsdi_jax.data.shards import DamagedRecordError, Split, Track, open_split
from gmsdi_jax.data.windows import WindowConfig
from gmsdi_jax.data.writer import (
    Place,
    ShardReport,
    ShardWriter,
    WholeTrack,
    finish_split,
    read_report,
    write_split,
)

__all__ = [
    "GATE",
    "MANIFEST",
    "ChunkRecord",
    "DamagedRecordError",
    "Embeddings",
    "FixedWindows",
    "Manifest",
    "Place",
    "Settings",
    "ShardReport",
    "ShardWriter",
    "Split",
    "Track",
    "WholeTrack",
    "WindowConfig",
    "below_full_scale",
    "cut",
    "decode",
    "encode",
    "finish_split",
    "fixed_windows",
    "label_sets",
    "open_embeddings",
    "open_split",
    "presence",
    "read_manifest",
    "read_report",
    "training_batches",
    "write_embeddings",
    "write_split",
]
