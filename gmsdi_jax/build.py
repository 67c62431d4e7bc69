"""From a configuration to functions: the only place, beside the modules, that knows of flax.

A model is a graph (static) and a plain nested dict of arrays. Functions of the dict are pure, so
`jax.jit`, `jax.grad` and `jax.vmap` apply as usual, and checkpoints hold nothing but the dict.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Key

from gmsdi_jax.config import ModelConfig
from gmsdi_jax.diffusion import precondition
from gmsdi_jax.errors import UnavailableError
from gmsdi_jax.models import (
    ClapTextConfig,
    Embedded,
    Pure,
    Spectral,
    SpectralConfig,
    T5TextConfig,
    Tags,
    TagsConfig,
    UNet1d,
    UNet1dConfig,
    WithoutText,
    WithoutTextConfig,
)
from gmsdi_jax.prompts import spell, tokenize
from gmsdi_jax.types import Params, Prompt, Text, TextDenoiser, TextEncoder


class _Parts(nnx.Module):
    """A conditioner and a network, trained together."""

    conditioner: Any  # each kind reads its own kind of prompt

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        match config.conditioner:
            case TagsConfig():
                self.conditioner = Tags(config.conditioner, rngs=rngs)
            case T5TextConfig() | ClapTextConfig():
                self.conditioner = Embedded(config.conditioner, rngs=rngs)
            case WithoutTextConfig():
                self.conditioner = WithoutText(config.conditioner, rngs=rngs)
        match config.network:
            case SpectralConfig():
                self.network = Spectral(config.network, rngs=rngs)
            case UNet1dConfig():
                self.network = UNet1d(config.network, rngs=rngs)


class Model:
    """The functions of a configured model; its weights are passed in, never held."""

    def __init__(self, config: ModelConfig, encode: TextEncoder | None = None):
        """Nothing is computed or allocated until it is asked for.

        Args:
            config: the model.
            encode: words to frozen embeddings, for a model that is conditioned on those.
        """
        self.config, self.encode = config, encode
        self._parts = Pure(lambda rngs: _Parts(config, rngs=rngs))

    def init(self, key: Key[Array, ""]) -> Params:
        """Fresh weights, as a plain nested dict."""
        return self._parts.init(key)

    @property
    def shapes(self) -> Params:
        """The weights' shapes and types, computed without weights."""
        return self._parts.shapes

    @property
    def reads_words(self) -> bool:
        """Whether a prompt may be any words; else it names labels."""
        return isinstance(self.config.conditioner, T5TextConfig | ClapTextConfig)

    @property
    def is_joint(self) -> bool:
        """Whether the network's channels are the stems: MSDM's joint model."""
        return self.reads_nothing and getattr(self.config.network, "audio_channels", 1) > 1

    @property
    def reads_nothing(self) -> bool:
        """Whether the network hears no text."""
        return isinstance(self.config.conditioner, WithoutTextConfig)

    def prompt(self, texts: Sequence[str]) -> Prompt:
        """Prompts as rows that `embed` takes; an empty one is "no text".

        Raises:
            ConfigError: a name that the model does not know.
            UnavailableError: the model reads words, but there is no encoder for them.
        """
        if not self.reads_words:
            return tokenize(texts, self.config.labels)
        if self.encode is None:
            raise UnavailableError(
                "this model reads text through a frozen encoder, and none was given: convert one "
                "(gmsdi convert) and name its folder as the encoder"
            )
        return self.encode([spell(text, self.config.labels) for text in texts])

    def prompt_shapes(self, count: int) -> Prompt:
        """Shapes and types of `count` prompts; neither words nor an encoder are needed."""
        conditioner = self.config.conditioner
        if isinstance(conditioner, T5TextConfig | ClapTextConfig):
            size = count, conditioner.tokens
            return Text(
                jax.ShapeDtypeStruct((*size, conditioner.features), jnp.float32),  # type: ignore[arg-type]
                jax.ShapeDtypeStruct(size, bool),  # type: ignore[arg-type]
            )
        return jax.eval_shape(lambda: self.prompt([""] * count))

    def embed(self, params: Params, prompt: Prompt) -> Text:
        """What the network hears; rows without a token become the learned null."""
        return self._parts.bind(params).conditioner(prompt)

    def denoiser(self, params: Params) -> TextDenoiser:
        """The preconditioned network with these weights."""
        network = self._parts.bind(params).network
        return precondition(network, self.config.sigma_data, self.config.limit)
