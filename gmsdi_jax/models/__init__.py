"""Networks and text conditioners: flax.nnx modules, each with its Config beside it.

A module is split once into a graph and a plain dict of arrays (`gmsdi_jax.build`); nothing outside
this package and `build` knows of flax.
"""

from gmsdi_jax.models.clap import Clap, ClapConfig
from gmsdi_jax.models.embedded import ClapTextConfig, Embedded, T5TextConfig, perturb, shift
from gmsdi_jax.models.pure import Pure
from gmsdi_jax.models.spectral import Spectral, SpectralConfig
from gmsdi_jax.models.t5 import T5, T5Config
from gmsdi_jax.models.tags import Tags, TagsConfig
from gmsdi_jax.models.unet1d import UNet1d, UNet1dConfig
from gmsdi_jax.models.vggish import Vggish, VggishConfig
from gmsdi_jax.models.without_text import WithoutText, WithoutTextConfig

__all__ = [
    "T5",
    "Clap",
    "ClapConfig",
    "ClapTextConfig",
    "Embedded",
    "Pure",
    "Spectral",
    "SpectralConfig",
    "T5Config",
    "T5TextConfig",
    "Tags",
    "TagsConfig",
    "UNet1d",
    "UNet1dConfig",
    "Vggish",
    "VggishConfig",
    "WithoutText",
    "WithoutTextConfig",
    "perturb",
    "shift",
]
