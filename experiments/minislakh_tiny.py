"""The model that ships as ``examples/models/minislakh-tiny``: MiniSlakh on two CPU cores."""

from pathlib import Path

from gmsdi_jax.config import ModelConfig, OptimizerConfig, TrainConfig
from gmsdi_jax.data import WindowConfig
from gmsdi_jax.models import SpectralConfig, TagsConfig


def config() -> TrainConfig:
    """The run; every field can be overridden on the command line."""
    return TrainConfig(
        data=Path("minislakh_shards"),
        out=Path("runs/minislakh_tiny"),
        model=ModelConfig(network=SpectralConfig(), conditioner=TagsConfig()),
        optimizer=OptimizerConfig(rate=1.5e-3, weight_decay=1e-3, ema=0.998),
        # Two thirds label-disjoint mixtures of mixtures: declared, beyond the paper.
        windows=WindowConfig(mixing=2 / 3, gain_db=(-3.0, 3.0), polarity=True),
        steps=12_000,
    )
