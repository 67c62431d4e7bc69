"""Conditioners on frozen embeddings: T5's of labels and sentences, CLAP's of audio or text.

The encoder is not part of the model: it runs ahead of time, in the input pipeline, or once per
prompt at inference, and what arrives here is its output. All that is learned is the *null*, one
vector per token position, which stands for "no text" (audio-diffusion-pytorch's "fixed embedding"):
it replaces the whole sequence in text dropout and in classifier-free guidance.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from gmsdi_jax.types import Text


@dataclass(frozen=True, kw_only=True)
class T5TextConfig:
    """Text is the last hidden states of a T5 encoder, as in the paper's Slakh2100 model."""

    labels: tuple[str, ...] = ("Bass", "Drums", "Guitar", "Piano")
    """Names of the stems in the training data, in the order in which a prompt lists them."""
    features: int = 512
    """Size of a hidden state (512: t5-small)."""
    tokens: int = 64
    """Length to which every prompt is padded or cut."""
    attend_padding: bool = True
    """Whether the network sees the states of padding, as in audio-diffusion-pytorch."""


@dataclass(frozen=True, kw_only=True)
class ClapTextConfig:
    """Text is one CLAP vector: of the audio itself in training, of audio or words afterwards."""

    labels: tuple[str, ...] = ()
    """Names of the stems in the training data, where it has any."""
    features: int = 512
    """Size of CLAP's joint space."""
    noise: float = 0.0
    """Length of the random vector that is added to the unit vector in training, so that the model
    also answers to vectors near the audio's, such as a text's."""

    @property
    def tokens(self) -> int:
        """One vector is one token."""
        return 1


class Embedded(nnx.Module):
    """Frozen embeddings with a learned sequence where there are none."""

    def __init__(self, config: T5TextConfig | ClapTextConfig, *, rngs: nnx.Rngs):
        """The null starts as PyTorch's embeddings do, at unit variance."""
        shape = config.tokens, config.features
        self.null = nnx.Param(jax.random.normal(rngs.params(), shape))

    def __call__(self, text: Text) -> Text:
        """The text; rows of which no token counts become the null, all of whose tokens count."""
        nothing = ~text.mask.any(-1, keepdims=True)
        null = jnp.broadcast_to(self.null[...], text.embedding.shape)
        return Text(jnp.where(nothing[..., None], null, text.embedding), text.mask | nothing)


def perturb(key: Key[Array, ""], text: Text, noise: float) -> Text:
    """Unit vectors moved by a random one of length about `noise`, and made unit vectors again.

    Source: noise injection, CapDec (Nukrai et al. 2022, 2211.00575).
    """
    size = text.embedding.shape[-1] ** -0.5
    moved = text.embedding + noise * size * jax.random.normal(key, text.embedding.shape)
    return text._replace(embedding=_unit(moved))


def shift(
    text: Float[Array, "*b d"], from_mean: Float[Array, " d"], to_mean: Float[Array, " d"]
) -> Float[Array, "*b d"]:
    """Unit vectors of one modality moved by the gap between the modalities' means.

    Source: Mind the Gap (Liang et al. 2022, 2203.02053).
    """
    return _unit(text + jnp.expand_dims(to_mean - from_mean, range(text.ndim - 1)))


def _unit(x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)
