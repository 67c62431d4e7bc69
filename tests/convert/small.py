"""Small networks of every published format, and files as their publishers write them."""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from encoders.tiny import TINY_CLAP, TINY_T5
from parity.vggish_case import NARROW
from parity.weights import draw

from gmsdi_jax.arrays import flatten
from gmsdi_jax.convert import AdpConfig, named, to_theirs, write_state
from gmsdi_jax.models import UNet1dConfig
from gmsdi_jax.types import Params


class Small(NamedTuple):
    """A network under our names and theirs."""

    config: Any
    ours: dict[str, np.ndarray]
    theirs: dict[str, np.ndarray]
    prefix: str
    told: dict[str, Any]
    """What their config.json says of it."""


def unet(**sizes: Any) -> AdpConfig:
    """A U-Net of one level."""
    more = {"tokens": sizes.pop("tokens")} if "tokens" in sizes else {}
    one = {"multipliers": (1, 1), "factors": (2,), "blocks": (1,), "attentions": (1,)}
    least = {"channels": 8, "patch": 2, "heads": 2, "head_features": 4, "groups": 2}
    return AdpConfig(network=UNet1dConfig(**{**one, **least, **sizes}), **more)


UNETS = {
    "msdm": unet(audio_channels=4, text_features=None),
    "adp-0.0.43": unet(text_features=6, tokens=5),
    "adp-0.0.97": unet(text_features=6, text_in="transformer", channels=32, tokens=5),
}
ENCODERS = {
    "t5": TINY_T5,
    "clap-laion": TINY_CLAP,
    "clap-hf": TINY_CLAP,
    "vggish-torch": NARROW,
    "vggish-tf": NARROW,
}
CONFIGS = {**UNETS, **ENCODERS}
PREFIXES = {"msdm": "model.unet.", "adp-0.0.43": "unet.", "adp-0.0.97": "model.unet."}
PREFIXES |= {"clap-laion": "module."}


@cache
def small(name: str) -> Small:
    """The network of that format, its weights drawn."""
    kind, config = named(name), CONFIGS[name]
    params: Params = jax.tree.map(np.asarray, draw(kind.shapes(config)))
    ours: Any = flatten(params)
    told = {"attention_heads": 2, "resnet_groups": 2} if name in UNETS else {}
    theirs = to_theirs(ours, kind.rules(config))
    return Small(config, ours, theirs, PREFIXES.get(name, ""), told)


def prefixed(name: str) -> dict[str, np.ndarray]:
    """Their arrays under the names that their checkpoints have."""
    network = small(name)
    return {network.prefix + key: array for key, array in network.theirs.items()}


def checkpoint(path: Path, name: str, **more: np.ndarray) -> Path:
    """Writes those to a file, and others beside them."""
    write_state(path, {**prefixed(name), **more})
    return path
