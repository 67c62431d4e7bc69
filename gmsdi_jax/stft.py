"""A short-time Fourier transform in jax whose inverse is exact.

One sine window is used for analysis and synthesis. Its square overlap-adds to one, so
``istft(stft(x)) == x`` to rounding for every length, and a mask of ones is the identity. Frames are
cut by reshaping, never by gathering, which XLA compiles well on every backend.

White noise of standard deviation ``sigma`` has power ``sigma**2`` in every bin: the window is
normalised to unit energy. Hence ``abs(stft(x))**2 / sigma**2`` is a local signal-to-noise ratio.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float


def sine_window(size: int, hop: int) -> np.ndarray:
    """The sine window of `size` samples, scaled so that its square overlap-adds to one."""
    if size % hop or size // hop < 2:
        raise ValueError(f"an STFT of {size} samples needs a hop that divides it, got {hop}")
    window = np.sin(np.pi * (np.arange(size) + 0.5) / size)
    return window / np.sqrt((window**2).reshape(-1, hop).sum(0)[0])


def window_energy(size: int, hop: int) -> float:
    """The energy of the window before normalisation: the power of unit white noise in one bin."""
    return float((sine_window(size, hop) ** 2).sum())


@partial(jax.jit, static_argnames=("size", "hop"))
def stft(x: Float[Array, "*b t"], size: int, hop: int) -> Complex[Array, "*b n f"]:
    """The transform of the last axis; ``size // 2 + 1`` bins, unit noise has unit power per bin."""
    edge = size - hop
    frames = -(-(x.shape[-1] + edge) // hop)
    padding = [(0, 0)] * (x.ndim - 1) + [(edge, (frames - 1) * hop + size - edge - x.shape[-1])]
    blocks = jnp.pad(x, padding).reshape(*x.shape[:-1], -1, hop)
    pieces = [blocks[..., i : i + frames, :] for i in range(size // hop)]
    window = jnp.asarray(sine_window(size, hop) / np.sqrt(window_energy(size, hop)), x.dtype)
    return jnp.fft.rfft(jnp.einsum("...f,f->...f", jnp.concatenate(pieces, -1), window))


@partial(jax.jit, static_argnames=("size", "hop", "length"))
def istft(z: Complex[Array, "*b n f"], size: int, hop: int, length: int) -> Float[Array, "*b t"]:
    """The inverse of `stft`, cut to `length` samples."""
    frames, overlap = z.shape[-2], size // hop
    signal = jnp.fft.irfft(z, size)
    window = jnp.asarray(sine_window(size, hop) * np.sqrt(window_energy(size, hop)), signal.dtype)
    signal = jnp.einsum("...f,f->...f", signal, window).reshape(*z.shape[:-1], overlap, hop)
    lead = [(0, 0)] * (z.ndim - 2)
    blocks = [
        jnp.pad(signal[..., i, :], [*lead, (i, overlap - 1 - i), (0, 0)]) for i in range(overlap)
    ]
    joined = sum(blocks[1:], blocks[0]).reshape(*z.shape[:-2], (frames + overlap - 1) * hop)
    return joined[..., size - hop : size - hop + length]


def apply_gain(
    gain: Float[Array, "*b n f"], z: Complex[Array, "*b n f"]
) -> Complex[Array, "*b n f"]:
    """A real gain per bin times a spectrum, without promoting the gain to complex."""
    return jax.lax.complex(gain * z.real, gain * z.imag)
