"""How much of a seam is left where windows were joined: its energy against the windows' inside."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from gmsdi_jax.errors import InputError


def seam_level(
    audio: Float[np.ndarray, "*b t"], seams: Sequence[int], reach: int, difference: int = 0
) -> float:
    """The mean power within `reach` samples of the seams over the mean power elsewhere, in dB.

    0 where a seam cannot be told from the rest. Independent draws, cross-faded half and half, are
    at -3 dB; a jump stands out in the `difference`.

    Args:
        audio: signals, full scale = 1.
        seams: the middles of the overlaps, in samples.
        reach: samples on either side of each.
        difference: how often to difference the signal first: 0 measures level, 2 clicks.

    Raises:
        InputError: no seam lies within the signal, or nothing lies outside of their reach.
    """
    audio = np.diff(np.asarray(audio, np.float64), n=difference, axis=-1)
    at = np.arange(audio.shape[-1])[:, None]
    near = (np.abs(at - np.asarray(list(seams))[None]) < reach).any(1)
    if not near.any() or near.all():
        raise InputError(f"seams at {list(seams)} with a reach of {reach} leave nothing to compare")
    power = np.square(audio)
    return float(10 * np.log10(power[..., near].mean() / power[..., ~near].mean()))
