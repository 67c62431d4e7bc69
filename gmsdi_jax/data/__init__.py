"""Prepared audio on disk, and the batches and windows that are read from it.

`ShardWriter` and `open_split` are the two ends of the format (records, shards, manifest);
`training_batches` draws what training reads, `fixed_windows` what evaluation measures on.
"""

from gmsdi_jax.data.evaluation import FixedWindows, fixed_windows
from gmsdi_jax.data.manifest import Manifest, Settings, read_manifest
from gmsdi_jax.data.pipeline import WindowConfig, training_batches
from gmsdi_jax.data.presence import GATE, label_sets, presence
from gmsdi_jax.data.records import ChunkRecord, cut, decode, encode, safe_gain
from gmsdi_jax.data.shards import ShardWriter, Split, Track, open_split

__all__ = [
    "GATE",
    "ChunkRecord",
    "FixedWindows",
    "Manifest",
    "Settings",
    "ShardWriter",
    "Split",
    "Track",
    "WindowConfig",
    "cut",
    "decode",
    "encode",
    "fixed_windows",
    "label_sets",
    "open_split",
    "presence",
    "read_manifest",
    "safe_gain",
    "training_batches",
]
