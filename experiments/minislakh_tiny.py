"""The model that ships as ``examples/models/minislakh-tiny``: MiniSlakh on two CPU cores.

    gmsdi data minislakh minislakh --tracks 220 --seed 2026 --split 172 20 28
    gmsdi data slakh minislakh shards
    gmsdi train experiments/minislakh_tiny.py --data shards

The spectral denoiser instead of the raw-waveform U-Net, and label-disjoint mixing of mixtures in
two thirds of the windows: both beyond the paper, for a model that two cores can train. Measured
time and scores stand in the model's card, ``examples/models/minislakh-tiny/README.md``.
"""

from pathlib import Path

from gmsdi_jax.config import ModelConfig, OptimizerConfig, TrainConfig
from gmsdi_jax.data import WindowConfig
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.models import SpectralConfig


def config() -> TrainConfig:
    """The run; every field can be overridden on the command line."""
    return TrainConfig(
        data=Path("shards"),
        out=Path("runs/minislakh_tiny"),
        model=ModelConfig(
            network=SpectralConfig(),
            # Chosen on validation songs when the run was done.
            separation=SeparationConfig(method="direct", sigmas=(0.01, 0.03), exponent=1.5),
        ),
        optimizer=OptimizerConfig(rate=1.5e-3, weight_decay=1e-3, ema=0.998),
        windows=WindowConfig(mixing=2 / 3, gain_db=(-3.0, 3.0), polarity=True),
        steps=7000,
        sigma_mean=-2.5,  # the read-out needs noise levels up to 0.1 well trained
        plain_cap=30.0,  # below sigma = 0.02 the weight would follow label errors, not noise
        save_every=500,
        eval_every=500,
    )
