"""Noise levels, preconditioning, the loss, solver steps and the one sampling loop.

Nothing here knows of music, text or sources: see `gmsdi_jax.compose` for those.
"""

from gmsdi_jax.diffusion.loss import denoising_loss, is_mixed, loss_weight
from gmsdi_jax.diffusion.precondition import precondition, scalings
from gmsdi_jax.diffusion.sample import initial_noise, sample
from gmsdi_jax.diffusion.sigmas import GRIDS, karras, lognormal
from gmsdi_jax.diffusion.steps import (
    adpm2,
    churn,
    daps,
    dpmpp_2m,
    euler,
    euler_ancestral,
    heun,
    resample,
)

__all__ = [
    "GRIDS",
    "adpm2",
    "churn",
    "daps",
    "denoising_loss",
    "dpmpp_2m",
    "euler",
    "euler_ancestral",
    "heun",
    "initial_noise",
    "is_mixed",
    "karras",
    "lognormal",
    "loss_weight",
    "precondition",
    "resample",
    "sample",
    "scalings",
]
