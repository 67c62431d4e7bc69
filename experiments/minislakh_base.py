"""MiniSlakh v1 with the paper's recipe, at a size that one GPU trains in 25 minutes.

    gmsdi data minislakh minislakh --tracks 1440 --seed 1 --split 1200 120 120 --unseen 0.5
    gmsdi data slakh minislakh shards
    gmsdi train experiments/minislakh_base.py --data shards
    gmsdi train experiments/minislakh_base.py --data shards --windows.mixing 0.667 --out runs/base_mixed

The raw-waveform U-Net with text in every residual block, mixtures of 3 s with the labels that sound
in them, nothing beyond the paper; labels are embedded by the model itself instead of t5-small, which
knows no more of four words. bfloat16 inside. Without a GPU it is far too slow: on two CPU cores
`experiments/minislakh_cpu.py` takes another network. Hours and expected number: not measured; nobody
trained this.
"""  # noqa: E501

from pathlib import Path

from gmsdi_jax.config import AveragesConfig, ModelConfig, OptimizerConfig, TrainConfig
from gmsdi_jax.data import WindowConfig
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.models import TagsConfig, UNet1dConfig


def config() -> TrainConfig:
    """The run; every field can be overridden on the command line."""
    return TrainConfig(
        data=Path("shards"),
        out=Path("runs/minislakh_base"),
        model=ModelConfig(
            network=UNet1dConfig(
                text_features=64,
                channels=128,
                multipliers=(1, 2, 4, 4, 4, 4),
                factors=(4, 4, 2, 2, 2),
                blocks=(2, 2, 2, 2, 2),
                attentions=(0, 0, 1, 1, 1),
                head_features=64,
                dtype="bfloat16",
            ),
            conditioner=TagsConfig(features=64),
            separation=SeparationConfig(method="dirac", steps=150, s_churn=20.0),
            window=2**16,
        ),
        optimizer=OptimizerConfig(rate=3e-4, warmup=500, ema=0.9995),
        averages=AveragesConfig(widths=(0.05, 0.1), every=1000),
        windows=WindowConfig(gain_db=(-3.0, 3.0), polarity=True),
        window=2**16,
        batch=32,
        steps=20_000,
        save_every=1000,
        save_minutes=5.0,
        eval_every=2000,
    )
