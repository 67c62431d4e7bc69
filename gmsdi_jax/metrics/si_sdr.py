"""Scale-invariant signal-to-distortion ratio, as the MSDM and GMSDI papers compute it.

The reference is scaled to fit the estimate best, ``alpha = <e, s> / <s, s>``, and the ratio is
that of ``|alpha s|**2`` to ``|alpha s - e|**2``. The mean is not removed, and a small `eps` joins
both sides of both fractions. With audible signals `eps` is nothing; in silence it decides
everything:

* a silent estimate scores 0 dB whatever the reference, so it "improves" on a mixture in which the
  stem lies at -10 dB by 10 dB;
* against a silent reference the score is only the energy of the estimate, and an estimate of zeros
  improves on the mixture by more than 100 dB.

`gmsdi_jax.metrics.protocols` says which of these cases are counted.

Every function works on numpy arrays, in float64, and on jax arrays, in their own precision.
"""

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Audio = Float[Array, "*b t"] | Float[np.ndarray, "*b t"]
Decibels = Any
"""An array of the leading shape ``*b``, of the library that the audio came in."""


def _namespace(*signals: Audio) -> tuple[ModuleType, list[Any]]:
    """The array library of `signals`, and the signals; numpy ones become float64."""
    if any(isinstance(signal, jax.Array) for signal in signals):
        return jnp, [jnp.asarray(signal) for signal in signals]
    return np, [np.asarray(signal, np.float64) for signal in signals]


def si_sdr(estimate: Audio, reference: Audio, eps: float = 1e-8) -> Decibels:
    """The SI-SDR of `estimate` in dB along the last axis; higher is better.

    Source: ``sisnr`` in the published evaluation of Mariani et al., *Multi-Source Diffusion Models
    for Simultaneous Music Generation and Separation*, 2024; Le Roux et al., *SDR: half-baked or
    well done?*, 2019, without `eps`.
    """
    xp, (e, s) = _namespace(estimate, reference)
    alpha = ((e * s).sum(-1, keepdims=True) + eps) / ((s**2).sum(-1, keepdims=True) + eps)
    target = alpha * s
    signal = (target**2).sum(-1) + eps
    distortion = ((target - e) ** 2).sum(-1) + eps
    return 10 * xp.log10(signal / distortion)


def si_sdr_improvement(
    estimate: Audio, reference: Audio, mixture: Audio, eps: float = 1e-8
) -> Decibels:
    """By how many dB `estimate` is nearer to `reference` than the unprocessed `mixture` is."""
    return si_sdr(estimate, reference, eps) - si_sdr(mixture, reference, eps)


def sdr(estimate: Audio, reference: Audio, eps: float = 1e-8) -> Decibels:
    """The plain signal-to-distortion ratio in dB: a wrong gain counts as an error."""
    xp, (e, s) = _namespace(estimate, reference)
    return 10 * xp.log10(((s**2).sum(-1) + eps) / (((s - e) ** 2).sum(-1) + eps))
