"""Networks and text conditioners: flax.nnx modules, each with its Config beside it.

A module is split once into a graph and a plain dict of arrays (`gmsdi_jax.build`); nothing outside
this package and `build` knows of flax.
"""

from gmsdi_jax.models.pure import Pure
from gmsdi_jax.models.spectral import Spectral, SpectralConfig
from gmsdi_jax.models.tags import Tags, TagsConfig, tokenize
from gmsdi_jax.models.unet1d import UNet1d, UNet1dConfig

__all__ = [
    "Pure",
    "Spectral",
    "SpectralConfig",
    "Tags",
    "TagsConfig",
    "UNet1d",
    "UNet1dConfig",
    "tokenize",
]
