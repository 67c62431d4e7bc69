"""From a denoiser of windows to one of signals of any length.

A network hears a window of a few seconds; a song has any length. `windowed` cuts the whole noisy
song into overlapping windows, denoises all of them, and cross-fades the *answers*. The state of the
sampler is the song itself: overlapping windows see the same noise, and agree on every step of the
path instead of at its end. So an instrument keeps its identity from window to window, there is no
seam, and every task and solver works on songs unchanged:

    separator(windowed(denoise, 2**17, 2**16), texts, song)

Source: MultiDiffusion (Bar-Tal et al. 2023), whose optimum for plain windows is their average.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gmsdi_jax.types import Text, TextDenoiser


def windowed(denoise: TextDenoiser, window: int, hop: int, rows: int | None = None) -> TextDenoiser:
    """`denoise` of windows, as a denoiser of signals ``[b t c]`` of any length t.

    The windows start every `hop` samples; the last one ends with the signal. A signal that is
    shorter than a window is one window, denoised as it is.

    Args:
        denoise: the denoiser of ``[n window c]``; its rows do not know of each other.
        window: samples that it takes at a time.
        hop: samples from one window's start to the next one's.
        rows: the most rows of one call of `denoise`, for memory; all by default.

    Raises:
        ValueError: not ``1 <= hop <= window``.
    """
    if not 1 <= hop <= window:
        raise ValueError(f"windowed needs 1 <= hop <= window, got hop {hop}, window {window}")

    def denoise_long(
        x: Float[Array, "b t c"], sigma: Float[Array, "*b"], text: Text
    ) -> Float[Array, "b t c"]:
        b, length, channels = x.shape
        if length <= window:
            return denoise(x, sigma, text)
        starts = jnp.asarray(window_starts(length, window, hop))
        n = starts.shape[0]

        def cut(start: Array) -> Float[Array, "b window c"]:
            return jax.lax.dynamic_slice_in_dim(x, start, window, axis=1)

        rows_in = jax.vmap(cut, out_axes=1)(starts).reshape(b * n, window, channels)
        levels = jnp.repeat(jnp.broadcast_to(sigma, (b,)), n)
        texts = Text(*(jnp.repeat(leaf, n, axis=0) for leaf in text))
        parts = _in_calls(denoise, rows_in, levels, texts, rows)
        parts = parts.reshape(b, n, window, channels)

        def add(i: Array, joined: Array) -> Array:
            weight = fade(starts, i, window, hop)[None, :, None].astype(x.dtype)
            here = jax.lax.dynamic_slice_in_dim(joined, starts[i], window, axis=1)
            return jax.lax.dynamic_update_slice_in_dim(
                joined, here + weight * parts[:, i], starts[i], axis=1
            )

        # A scan over i, and not a loop, so that the answer can be differentiated.
        joined, _ = jax.lax.scan(lambda y, i: (add(i, y), None), jnp.zeros_like(x), jnp.arange(n))
        return joined

    return denoise_long


def window_starts(length: int, window: int, hop: int) -> tuple[int, ...]:
    """Where the windows of a signal of `length` samples start; the last ends with the signal."""
    if length <= window:
        return (0,)
    return (*range(0, length - window, hop), length - window)


def fade(
    starts: Int[Array, " n"], i: Int[Array, ""], window: int, hop: int
) -> Float[Array, " window"]:
    """The weight of window i at each of its samples; at every sample all windows' sum to one.

    Raised cosines over each window, divided by their sum. Where one window speaks its weight is 1.
    """
    reach = -(-window // hop)  # neighbours on either side that may overlap

    def bump(j: Int[Array, ""]) -> Float[Array, " window"]:
        offset = starts[i] - starts[jnp.clip(j, 0, starts.shape[0] - 1)] + jnp.arange(window)
        exists = (j >= 0) & (j < starts.shape[0]) & (offset >= 0) & (offset < window)
        phase = (offset.astype(jnp.float32) + 0.5) / window
        return jnp.where(exists, jnp.sin(jnp.pi * phase) ** 2, 0)

    return bump(i) / jax.vmap(bump)(i + jnp.arange(-reach, reach + 1)).sum(0)


def _in_calls(
    denoise: TextDenoiser,
    x: Float[Array, "n t c"],
    sigma: Float[Array, " n"],
    text: Text,
    rows: int | None,
) -> Float[Array, "n t c"]:
    """`denoise`, a bounded number of rows at a time, one call after the other."""
    if rows is None or x.shape[0] <= rows:
        return denoise(x, sigma, text)

    def padded(leaf: Array) -> Array:
        missing = -leaf.shape[0] % rows
        leaf = jnp.pad(leaf, [(0, missing)] + [(0, 0)] * (leaf.ndim - 1), mode="edge")
        return leaf.reshape(-1, rows, *leaf.shape[1:])

    calls = (padded(x), padded(sigma), Text(*map(padded, text)))
    parts = jax.lax.map(lambda call: denoise(*call), calls)
    return parts.reshape(-1, *x.shape[1:])[: x.shape[0]]
