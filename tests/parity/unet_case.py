"""What the U-Net's recorder and its test share: small networks, inputs, our answers by layer."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gmsdi_jax.models import Pure, UNet1d, UNet1dConfig
from gmsdi_jax.models.attention import Attention
from gmsdi_jax.models.linear import TransposedConv
from gmsdi_jax.models.unet1d_blocks import FourierTime, ResnetBlock, TextTransformer, Transformer
from gmsdi_jax.types import Params, Text

TOKENS = 5
CASES = {
    "0.0.43": UNet1dConfig(
        text_features=12,
        channels=16,
        patch=4,
        multipliers=(1, 2, 2),
        factors=(4, 2),
        blocks=(1, 1),
        attentions=(0, 1),
        heads=2,
        head_features=8,
        groups=4,
    ),
    # Two patch blocks, an odd factor and a factor of 1, where upsampling is another layer.
    "0.0.43, four stems, no text": UNet1dConfig(
        audio_channels=4,
        text_features=None,
        channels=16,
        patch=2,
        patch_blocks=2,
        multipliers=(1, 1, 2),
        factors=(3, 1),
        blocks=(2, 1),
        attentions=(0, 0),
        heads=2,
        head_features=4,
        groups=8,
    ),
    "0.0.97": UNet1dConfig(
        audio_channels=2,
        text_features=12,
        text_in="transformer",
        channels=32,
        patch=4,
        multipliers=(1, 1, 2),
        factors=(4, 2),
        blocks=(1, 1),
        attentions=(0, 2),
        heads=2,
        head_features=8,
        groups=8,
    ),
}


def inputs(config: UNet1dConfig, samples: int = 0) -> dict[str, np.ndarray]:
    """Two rows of noise, their noise levels, their texts, and a direction for the gradient."""
    rng = np.random.default_rng(0)
    shape = 2, samples or 6 * config.multiple, config.audio_channels
    drawn = {
        "x": rng.standard_normal(shape),
        "c_noise": np.array([-1.9, 0.4]),
        "text": rng.standard_normal((2, TOKENS, config.text_features or 1)),
        "direction": rng.standard_normal(shape),
    }
    return {name: value.astype(np.float32) for name, value in drawn.items()}


def network(config: UNet1dConfig) -> Pure[UNet1d]:
    """Ours."""
    return Pure(lambda rngs: UNet1d(config, rngs=rngs))


def answers(
    network: Pure[UNet1d], params: Params, given: dict[str, np.ndarray], gradient: bool = True
) -> dict[str, np.ndarray]:
    """Every layer's output by its place in the network, the network's, and its input gradient."""
    text = Text(jnp.asarray(given["text"]), jnp.ones(given["text"].shape[:2], bool))

    def directed(x, params):
        with heard(unet := network.bind(params)) as layers:
            out = unet(x, jnp.asarray(given["c_noise"]), text)
        return (out * given["direction"]).sum(), {**layers, "output": out}

    if gradient:
        slope, layers = jax.jit(jax.grad(directed, has_aux=True))(given["x"], params)
        layers["gradient"] = slope
    else:
        _, layers = jax.jit(directed)(given["x"], params)
    return {name: np.asarray(value) for name, value in layers.items()}


@contextmanager
def heard(unet: UNet1d) -> Iterator[dict[str, jax.Array]]:
    """What each layer of these kinds answers while the network is called."""
    places = {id(module): ".".join(map(str, path)) for path, module in nnx.iter_modules(unet)}
    found: dict[str, jax.Array] = {}

    def listening(call: Callable) -> Callable:
        def wrapper(self, *args):
            out = call(self, *args)
            found[places[id(self)]] = out
            return out

        return wrapper

    kinds = Attention, FourierTime, ResnetBlock, TextTransformer, TransposedConv, Transformer
    with ExitStack() as stack:
        for kind in (*kinds, nnx.Conv):
            call = listening(kind.__call__)
            stack.enter_context(mock.patch.object(kind, "__call__", call))
        yield found
