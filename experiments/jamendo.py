"""GMSDI's MTG-Jamendo model: windows of 2^19 samples, each conditioned on its own CLAP vector.

    gmsdi data jamendo /data/jamendo shards && gmsdi data embed shards --encoder encoders/clap
    gmsdi train experiments/jamendo.py --data shards --batch 64 --fsdp 16

*Stated* in the paper are the data, CLAP and the window; all else is as in
`experiments/paper_slakh.py`, whose lines say what they rest on. There are no stems, so that no
score of separation is computed while it trains: ``eval_every`` is 0. Hardware: 16 chips with 16 GiB
or more; hours: not measured. Expected number: not measured; nobody trained this.
"""

from dataclasses import replace
from pathlib import Path

from experiments.paper_slakh import config as paper
from gmsdi_jax.config import TrainConfig
from gmsdi_jax.data import WindowConfig
from gmsdi_jax.presets import paper_jamendo


def config() -> TrainConfig:
    """The run; every field can be overridden on the command line."""
    model = paper_jamendo()
    return replace(
        paper(),
        out=Path("runs/jamendo"),
        encoder=Path("encoders/clap"),
        model=replace(model, network=replace(model.network, remat=True)),
        window=model.window,
        windows=WindowConfig(embeddings="clap"),
        eval_every=0,
    )
