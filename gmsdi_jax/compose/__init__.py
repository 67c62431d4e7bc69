"""The inference algebra: functions from denoisers to denoisers.

One theorem specifies every rule here: a composed denoiser equals Tweedie's formula
``x + sigma**2 grad log p(x)`` of the composed log-density. The tests hold each rule to it with
`jax.grad`. The package imports jax alone, so it serves any denoiser, not only this project's
models.
"""

from gmsdi_jax.compose.allocation import (
    Allocation,
    BinAllocation,
    local_power,
    shares,
    uniform,
    wiener,
)
from gmsdi_jax.compose.constraints import (
    clamp,
    complete,
    dirac,
    gaussian,
    project,
    project_by_covariance,
)
from gmsdi_jax.compose.coupling import couple, proportional, stable_gamma
from gmsdi_jax.compose.draws import uncertainty
from gmsdi_jax.compose.guidance import guide
from gmsdi_jax.compose.sources import coloured, per_source, stack_texts, with_other
from gmsdi_jax.compose.windowed import windowed

__all__ = [
    "Allocation",
    "BinAllocation",
    "clamp",
    "coloured",
    "complete",
    "couple",
    "dirac",
    "gaussian",
    "guide",
    "local_power",
    "per_source",
    "project",
    "project_by_covariance",
    "proportional",
    "shares",
    "stable_gamma",
    "stack_texts",
    "uncertainty",
    "uniform",
    "wiener",
    "windowed",
    "with_other",
]
