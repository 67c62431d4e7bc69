"""A small denoiser that thinks in local power: a Wiener filter whose powers a network names.

Waveform in, waveform out; inside, one STFT. A convolutional trunk over its frames names
`components` local signal-to-noise ratios ``xi_m >= 0`` for every time-frequency bin, and the text
decides which components belong to it, by gates ``0 <= g_m <= 1``:

    D = istft(G stft(x)),    G = sum_m g_m xi_m / (1 + sum_m xi_m)

This is the posterior mean when bins are independent Gaussians: all components compete for a bin,
with each other and with the noise (the 1). A gate is the probabilistic "or" over the text's
tokens, so a set of labels opens the union of what its members open. The trunk does not see the
text, hence the answers to the texts of all stems share the mixture without overlap when their
gates do.

It stands for the raw-waveform U-Net where a minute of CPU must do (`examples/`, tests); it is
still ``D(x, sigma, text)``, so every task and sampler applies. It has no way to invent phase:
samples drawn from it are noise shaped like music.
"""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from gmsdi_jax.models.layers import (
    Film,
    NoiseEmbedding,
    ShiftConv,
    identity,
    pool,
    rms_norm,
)
from gmsdi_jax.stft import apply_gain, istft, stft
from gmsdi_jax.types import Text


@dataclass(frozen=True, kw_only=True)
class SpectralConfig:
    """Sizes of the spectral denoiser."""

    text_features: int = 64
    """Size of a text token."""
    sigma_data: float = 0.1
    """Standard deviation of the data, full scale = 1; equal to the preconditioning's."""
    fft: int = 1024
    """STFT size in samples; the hop is a quarter of it."""
    fine_bins: int = 256
    """Bins, from the lowest, that the trunk sees one by one."""
    band: int = 4
    """Bins per band above those: the trunk sees and answers bands."""
    width: int = 192
    """Features of the trunk."""
    dilations: tuple[int, ...] = (1, 2, 4, 8, 2, 1)
    """One residual block of the trunk per entry; the dilation is in frames."""
    components: int = 5
    """Local powers that compete for each bin."""
    text_in_trunk: bool = False
    """Whether the trunk sees the text too, beside the gates."""
    residual: bool = False
    """Whether a complex correction, in units of the noise, is added to the filtered spectrum."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the arithmetic inside the trunk's blocks; their sum, and all else, is float32."""


class Block(nnx.Module):
    """A residual block of the trunk: norm, FiLM, dilated convolution, pointwise layer."""

    def __init__(self, condition: int, dilation: int, config: SpectralConfig, *, rngs: nnx.Rngs):
        """`condition` is the size of the vector that modulates the block."""
        small = nnx.initializers.variance_scaling(0.1, "fan_in", "normal")
        width, dtype = config.width, config.dtype
        self.film = Film(condition, width, rngs=rngs)
        self.conv = ShiftConv(width, width, dilation, dtype=dtype, rngs=rngs)
        self.out = nnx.Linear(width, width, dtype=dtype, kernel_init=small, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b n d"], condition: Float[Array, "b e"]
    ) -> Float[Array, "b n d"]:
        """`x` plus what the block adds."""
        h = self.film(rms_norm(x), condition)
        return x + self.out(jax.nn.silu(self.conv(h))).astype(x.dtype)


class Spectral(nnx.Module):
    """The network ``F(c_in x, c_noise, text)`` that stands for the filter above."""

    _slope_bins = 32  # neighbouring bins that share how the answer follows the local SNR

    def __init__(self, config: SpectralConfig, *, rngs: nnx.Rngs):
        """All weights, drawn from `rngs`."""
        self.config = config
        bins = config.fft // 2 + 1
        self.bands = config.fine_bins - (-(bins - config.fine_bins) // config.band)
        self.slopes = -(-bins // self._slope_bins)
        condition = 128
        small = nnx.initializers.variance_scaling(0.01, "fan_in", "normal")
        self.noise = NoiseEmbedding(condition, rngs=rngs)
        inputs = 2 * self.bands + (2 * bins if config.residual else 0)
        self.enter = nnx.Linear(inputs, config.width, rngs=rngs)
        if config.text_in_trunk:
            self.text = nnx.Linear(config.text_features, condition, rngs=rngs)
        self.blocks = nnx.List(
            [Block(condition, dilation, config, rngs=rngs) for dilation in config.dilations]
        )
        outputs = config.components * (self.bands + 2 * self.slopes)
        self.leave = nnx.Linear(config.width, outputs, kernel_init=small, rngs=rngs)
        if config.residual:
            self.correct = nnx.Linear(config.width, 2 * bins, kernel_init=small, rngs=rngs)
        # Label i starts out as component i; left to chance, classes take long to part.
        self.gate = nnx.Linear(
            config.text_features,
            config.components,
            kernel_init=identity(2.0),
            bias_init=nnx.initializers.constant(-2.0),
            rngs=rngs,
        )

    def __call__(
        self, x: Float[Array, "b t c"], c_noise: Float[Array, " b"], text: Text
    ) -> Float[Array, "b t c"]:
        """EDM's ``F``, one channel; `x` is scaled by ``c_in``, ``c_noise = ln(sigma) / 4``.

        Raises:
            ValueError: more than one channel.
        """
        if x.shape[-1] != 1:
            raise ValueError(f"the spectral denoiser takes mono rows [b t 1], got {x.shape}")
        config = self.config
        sigma = jnp.exp(4 * c_noise)[:, None, None]
        total = sigma**2 + config.sigma_data**2
        spectrum = stft(x[..., 0], config.fft, config.fft // 4)
        snr = (spectrum.real**2 + spectrum.imag**2) * total / sigma**2
        h = self._trunk(spectrum, snr, c_noise, text)
        xi = self._powers(h, snr)
        gates = self._gates(text)
        gain = jnp.einsum("bm,bnmf->bnf", gates, xi) / (1 + xi.sum(2))
        # D = istft(G X); solved for F, whose preconditioning adds c_skip x and scales by c_out.
        answer = (gain - config.sigma_data**2 / total) * total / (sigma * config.sigma_data)
        spectrum_out = apply_gain(answer, spectrum)
        if config.residual:
            real, imag = jnp.split(self.correct(h), 2, -1)
            spectrum_out = spectrum_out + jax.lax.complex(real, imag)
        return istft(spectrum_out, config.fft, config.fft // 4, x.shape[1])[..., None]

    def _trunk(self, spectrum: Array, snr: Array, c_noise: Array, text: Text) -> Array:
        bands = jnp.log(self._to_bands(snr) + 1e-2)
        near = jnp.log(_box3(self._to_bands(snr)) + 1e-2)
        inputs = [bands / 3, near / 3]
        if self.config.residual:
            inputs += [spectrum.real, spectrum.imag]
        condition = self.noise(c_noise)
        if self.config.text_in_trunk:
            condition = condition + self.text(pool(text))
        h = self.enter(jnp.concatenate(inputs, -1))
        for block in self.blocks:
            h = block(h, condition)
        return rms_norm(h)

    def _powers(self, h: Array, snr: Array) -> Float[Array, "b n m f"]:
        """``xi``: what the trunk says of a band, refined by how each bin's own SNR deviates."""
        m, bins = self.config.components, snr.shape[-1]
        out = self.leave(h)
        level = out[..., : m * self.bands].reshape(*h.shape[:2], m, self.bands)
        fine, rest = jnp.split(level, [self.config.fine_bins], -1)
        rest = jnp.repeat(rest, self.config.band, -1)[..., : bins - self.config.fine_bins]
        slopes = out[..., m * self.bands :].reshape(*h.shape[:2], 2, m, self.slopes)
        slopes = jnp.repeat(slopes, self._slope_bins, -1)[..., :bins]
        own, near = jnp.log(snr + 1e-2)[:, :, None], jnp.log(_box3(snr) + 1e-2)[:, :, None]
        level = jnp.concatenate([fine, rest], -1)
        log_xi = 3 * level - 1.4 + (0.3 + slopes[:, :, 0]) * own + (0.7 + slopes[:, :, 1]) * near
        return jnp.exp(jnp.clip(log_xi, -14, 14))

    def _gates(self, text: Text) -> Float[Array, "b m"]:
        closed = jax.nn.softplus(self.gate(text.embedding)) * text.mask[..., None].astype(
            text.embedding.dtype
        )
        return 1 - jnp.exp(-closed.sum(-2))

    def _to_bands(self, power: Float[Array, "b n f"]) -> Float[Array, "b n g"]:
        """Fine bins as they are, the rest averaged over bands (the last may be narrower)."""
        fine, rest = jnp.split(power, [self.config.fine_bins], -1)
        missing = -rest.shape[-1] % self.config.band
        rest = jnp.pad(rest, ((0, 0), (0, 0), (0, missing)), mode="edge")
        bands = rest.reshape(*rest.shape[:2], -1, self.config.band).mean(-1)
        return jnp.concatenate([fine, bands], -1)


def _box3(power: Float[Array, "b n f"]) -> Float[Array, "b n f"]:
    """The mean over 3 x 3 neighbours; edges repeat."""
    n, f = power.shape[1:]
    q = jnp.pad(power, ((0, 0), (1, 1), (1, 1)), mode="edge")
    q = q[:, :n] + q[:, 1 : n + 1] + q[:, 2:]
    return (q[:, :, :f] + q[:, :, 1 : f + 1] + q[:, :, 2:]) / 9
