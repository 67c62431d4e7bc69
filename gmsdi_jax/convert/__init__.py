"""Published weights to ours and back: tables of names, and readers that run no foreign code."""

from gmsdi_jax.convert.adp import AdpConfig
from gmsdi_jax.convert.convert import Conversion, convert
from gmsdi_jax.convert.export import published, write_state
from gmsdi_jax.convert.formats import FORMATS, named
from gmsdi_jax.convert.names import (
    CONV,
    CONV2D,
    LINEAR,
    POINTWISE,
    SAME,
    Layout,
    Rule,
    to_ours,
    to_theirs,
)

__all__ = [
    "CONV",
    "CONV2D",
    "FORMATS",
    "LINEAR",
    "POINTWISE",
    "SAME",
    "AdpConfig",
    "Conversion",
    "Layout",
    "Rule",
    "convert",
    "named",
    "published",
    "to_ours",
    "to_theirs",
    "write_state",
]
