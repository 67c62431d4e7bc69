"""Audio of any length as clips of ten seconds, and the clips' embeddings as one.

CLAP hears ten seconds, GMSDI's windows are 12 or 24. LAION's code takes a random clip of what is
longer, so that two calls differ and nothing says which part was heard. Here the rule is part of the
configuration: clips at even distances that cover the audio (``mean``), or clips at places drawn
from a key of the caller's (``keyed``); the embedding is the direction of the clips' mean. What is
shorter is treated as LAION's code and `ClapFeatureExtractor` do (``repeatpad``): repeated as often
as it fits, then silence.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from gmsdi_jax.models.clap.config import CropsConfig


def crops(
    waveform: Float[Array, " t"],
    clip: int,
    config: CropsConfig,
    key: Key[Array, ""] | None = None,
) -> Float[Array, "n clip"]:
    """Clips of `clip` samples by the rule of `config`; one where the audio is not longer than that.

    Raises:
        ValueError: the rule is ``keyed`` and there is no key.
    """
    if config.quantise:
        waveform = quantise(waveform)
    if waveform.shape[0] <= clip:
        return repeat_pad(waveform, clip)[None]
    if config.rule == "mean":
        starts = even_starts(waveform.shape[0], clip)
    elif key is None:
        raise ValueError("crops by 'keyed' need a key for each waveform")
    else:
        starts = jax.random.randint(key, (config.count,), 0, waveform.shape[0] - clip + 1)
    return jnp.stack([jax.lax.dynamic_slice_in_dim(waveform, start, clip) for start in starts])


def even_starts(samples: int, clip: int) -> Int[np.ndarray, " n"]:
    """First samples of the fewest clips that cover all samples, at even distances."""
    return np.round(np.linspace(0, samples - clip, -(-samples // clip))).astype(int)


def repeat_pad(waveform: Float[Array, " t"], clip: int) -> Float[Array, " clip"]:
    """The waveform as often as it fits into `clip` samples, then zeros."""
    repeated = jnp.tile(waveform, clip // waveform.shape[0])
    return jnp.pad(repeated, (0, clip - repeated.shape[0]))


def quantise(waveform: Float[Array, "*t"]) -> Float[Array, "*t"]:
    """The samples on a grid of 16 bits, rounded towards zero as LAION does."""
    return jnp.trunc(jnp.clip(waveform, -1, 1) * 32767) / 32767


def mean_direction(embeddings: Float[Array, "*b n d"]) -> Float[Array, "*b d"]:
    """The unit vector along the mean of unit vectors."""
    return unit(embeddings.mean(-2))


def unit(x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """`x` scaled to length 1 over its last axis; zero stays zero."""
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
