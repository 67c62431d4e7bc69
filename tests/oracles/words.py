"""A text denoiser whose density is known: every token of the text is a component of a mixture.

A token ``(mean, log variance)`` says that each sample is ``N(mean, variance)``; several tokens are
an even mixture, sample by sample. That is bimodal, so its denoiser is not linear, and a masked
token that leaked into the answer would be heard. Priors of music differ from it in nothing that the
algebra of `gmsdi_jax.compose` may rely on.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gmsdi_jax.types import Text


def text(*tokens: tuple[float, float], masked: int = 0) -> Text:
    """The text ``[s d]`` of tokens (mean, variance), followed by `masked` tokens of nonsense."""
    rows = [(mean, jnp.log(variance)) for mean, variance in tokens] + [(7.0, 3.0)] * masked
    return Text(jnp.asarray(rows), jnp.arange(len(rows)) < len(tokens))


def _components(
    x: Float[Array, "t c"], sigma: Float[Array, ""], text: Text
) -> tuple[Float[Array, "t c s"], Float[Array, "t c s"]]:
    """Per sample and token: log density at noise level sigma, and the posterior mean."""
    mean, variance = text.embedding[:, 0][None, None], jnp.exp(text.embedding[:, 1])[None, None]
    noisy, offset = variance + sigma**2, x[..., None] - mean
    log_density = -(offset**2) / (2 * noisy) - jnp.log(2 * jnp.pi * noisy) / 2
    log_density = jnp.where(text.mask[None, None], log_density, -jnp.inf)
    return log_density - jnp.log(text.mask.sum()), mean + variance / noisy * offset


def log_density(x: Float[Array, "t c"], sigma: Float[Array, ""], text: Text) -> Float[Array, ""]:
    """``log p_sigma(x | text)``: the density of clean audio plus noise of level sigma."""
    return jax.nn.logsumexp(_components(x, sigma, text)[0], axis=-1).sum()


@jax.jit
def denoise(
    x: Float[Array, "b t c"], sigma: Float[Array, "*b"], text: Text
) -> Float[Array, "b t c"]:
    """The posterior mean of the clean audio: a `TextDenoiser`."""

    def row(x, sigma, text):
        weights, means = _components(x, sigma, text)
        return (jax.nn.softmax(weights, axis=-1) * means).sum(-1)

    return jax.vmap(row)(x, jnp.broadcast_to(sigma, x.shape[:1]), text)


class Spy:
    """A text denoiser that remembers the rows and the noise levels of its calls."""

    def __init__(self, inner=denoise):
        self.inner, self.rows, self.sigmas = inner, [], []

    def __call__(
        self, x: Float[Array, "b t c"], sigma: Float[Array, "*b"], text: Text
    ) -> Float[Array, "b t c"]:
        assert text.mask.shape[0] == x.shape[0]
        self.rows.append(x.shape[0])
        self.sigmas.append(sigma)
        return self.inner(x, sigma, text)
