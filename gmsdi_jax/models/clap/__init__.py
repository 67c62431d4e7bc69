"""CLAP in jax: LAION's audio and text encoders (arXiv 2211.06687), from waveform to embedding.

Published weights come in through `gmsdi_jax.convert.clap`; with random ones it says nothing.
"""

from gmsdi_jax.models.clap.clap import Clap
from gmsdi_jax.models.clap.config import (
    ClapConfig,
    CropsConfig,
    HtsatConfig,
    MelConfig,
    RobertaConfig,
)
from gmsdi_jax.models.clap.crops import crops, mean_direction
from gmsdi_jax.models.clap.mel import log_mel

__all__ = [
    "Clap",
    "ClapConfig",
    "CropsConfig",
    "HtsatConfig",
    "MelConfig",
    "RobertaConfig",
    "crops",
    "log_mel",
    "mean_direction",
]
