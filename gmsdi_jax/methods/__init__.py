"""Separation methods by name: a batch of mixture windows in, stems out, for any denoiser.

============ =====================================================================================
``dirac``    the paper's Separator: Euler with churn on ``dirac``; one stem is constrained
``extract``  the paper's Extractor: every stem against the text of all others, each a run of its own
``gaussian`` MSDM's Gaussian likelihood of the mixture
``project``  beyond the paper: every denoised estimate is projected on the mixture
``direct``   no sampler: the denoiser's plain read-out of the mixture, made to sum to it
============ =====================================================================================

Windows, draws, stems and guidance branches are one batch axis: one network call per denoiser
evaluation.
"""

from gmsdi_jax.methods.config import METHODS, SOLVERS, WEIGHTS, Method, SeparationConfig
from gmsdi_jax.methods.separate import Prompts, draw, separate, separate_joint

__all__ = [
    "METHODS",
    "SOLVERS",
    "WEIGHTS",
    "Method",
    "Prompts",
    "SeparationConfig",
    "draw",
    "separate",
    "separate_joint",
]
