"""GMSDI's Slakh2100 model as trained here: the paper's, with labels by window.

    gmsdi data slakh slakh2100_flac_redux shards && gmsdi convert t5-small/ -o encoders/t5-small
    gmsdi train experiments/slakh.py --data shards --batch 64 --fsdp 16

All is that of `experiments/paper_slakh.py`, which says what each line rests on, but for the data:
its text names who plays in a *window*, where the paper's labels are of the whole track (Slakh2100
has all four in every track, so that those labels carry no contrast), and levels vary by 3 dB.
Mixing stays off, as in the paper; ``--windows.mixing 0.667`` turns it on. Hardware: 16 chips with
16 GiB or more; hours: not measured. Expected number: not measured; nobody trained this.
"""

from dataclasses import replace
from pathlib import Path

from experiments.paper_slakh import config as paper
from gmsdi_jax.config import TrainConfig
from gmsdi_jax.data import WindowConfig


def config() -> TrainConfig:
    """The run; every field can be overridden on the command line."""
    windows = WindowConfig(gain_db=(-3.0, 3.0), polarity=True)
    return replace(paper(), out=Path("runs/slakh"), windows=windows)
