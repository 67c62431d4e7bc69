"""Noise levels, preconditioning, the loss, solver steps and the one sampling loop.

Nothing here knows of music, text or sources: see `gmsdi_jax.compose` for those.
"""

from gmsdi_jax.diffusion.loss import denoising_loss, loss_weight
from gmsdi_jax.diffusion.precondition import precondition, scalings
from gmsdi_jax.diffusion.sample import initial_noise, sample
from gmsdi_jax.diffusion.sigmas import karras, lognormal
from gmsdi_jax.diffusion.steps import adpm2, churn, euler, euler_ancestral, heun, resample

__all__ = [
    "adpm2",
    "churn",
    "denoising_loss",
    "euler",
    "euler_ancestral",
    "heun",
    "initial_noise",
    "karras",
    "lognormal",
    "loss_weight",
    "precondition",
    "resample",
    "sample",
    "scalings",
]
