"""MiniSlakh v1 on two CPU cores: the best that they reach in two hours.

    gmsdi data minislakh minislakh --tracks 1440 --seed 1 --split 1200 120 120 --unseen 0.5
    gmsdi data slakh minislakh shards
    gmsdi train experiments/minislakh_cpu.py --data shards

The spectral denoiser instead of the raw-waveform U-Net, and label-disjoint mixing of mixtures in
two thirds of the windows: both beyond the paper. `experiments/minislakh_base.py` is the paper's
network, for a GPU; `experiments/minislakh_recipe.py` trains without each part of this recipe.
Measured time and scores: docs/minislakh.md.
"""

from pathlib import Path

from gmsdi_jax.config import AveragesConfig, ModelConfig, OptimizerConfig, TrainConfig
from gmsdi_jax.data import WindowConfig
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.models import SpectralConfig


def config() -> TrainConfig:
    """The run; every field can be overridden on the command line."""
    return TrainConfig(
        data=Path("shards"),
        out=Path("runs/minislakh_cpu"),
        model=ModelConfig(
            network=SpectralConfig(width=256, dilations=(1, 2, 4, 8, 16, 4, 2, 1)),
            separation=SeparationConfig(method="direct", sigmas=(0.01, 0.03), exponent=1.5),
        ),
        optimizer=OptimizerConfig(rate=1.5e-3, weight_decay=1e-3, ema=0.998),
        averages=AveragesConfig(widths=(0.05, 0.1), every=1000),
        windows=WindowConfig(mixing=2 / 3, gain_db=(-3.0, 3.0), polarity=True),
        steps=16_000,
        sigma_mean=-2.5,  # the read-out needs noise levels up to 0.1 well trained
        sigma_std=1.3,  # what is drawn from text begins at 1
        plain_cap=30.0,  # below sigma = 0.02 the weight would follow label errors, not noise
        save_every=500,
        eval_every=1000,
        eval_windows=64,
    )
