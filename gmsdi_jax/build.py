"""From a configuration to functions: the only place, beside the modules, that knows of flax.

A model is a graph (static) and a plain nested dict of arrays. Functions of the dict are pure, so
`jax.jit`, `jax.grad` and `jax.vmap` apply as usual, and checkpoints hold nothing but the dict.
"""

from flax import nnx
from jaxtyping import Array, Key

from gmsdi_jax.config import ModelConfig
from gmsdi_jax.diffusion import precondition
from gmsdi_jax.models import Pure, Spectral, SpectralConfig, Tags, UNet1d, UNet1dConfig, tokenize
from gmsdi_jax.types import Params, Text, TextDenoiser, Tokens


class _Parts(nnx.Module):
    """A conditioner and a network, trained together."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        self.conditioner = Tags(config.conditioner, rngs=rngs)
        match config.network:
            case SpectralConfig():
                self.network = Spectral(config.network, rngs=rngs)
            case UNet1dConfig():
                self.network = UNet1d(config.network, rngs=rngs)


class Model:
    """The functions of a configured model; its weights are passed in, never held."""

    def __init__(self, config: ModelConfig):
        """Nothing is computed or allocated until it is asked for."""
        self.config = config
        self._parts = Pure(lambda rngs: _Parts(config, rngs=rngs))

    def init(self, key: Key[Array, ""]) -> Params:
        """Fresh weights, as a plain nested dict."""
        return self._parts.init(key)

    @property
    def shapes(self) -> Params:
        """The weights' shapes and types, computed without weights."""
        return self._parts.shapes

    def tokens(self, prompts: list[str]) -> Tokens:
        """Prompts as token rows; raises ConfigError for a name the model does not know."""
        return tokenize(prompts, self.config.labels)

    def embed(self, params: Params, tokens: Tokens) -> Text:
        """Tokens as text; rows without a token become the learned null."""
        return self._parts.bind(params).conditioner(tokens)

    def denoiser(self, params: Params) -> TextDenoiser:
        """The preconditioned network with these weights."""
        network = self._parts.bind(params).network
        return precondition(network, self.config.sigma_data)
