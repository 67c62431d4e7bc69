"""Published weights to ours and back: tables of names, and readers that run no foreign code."""

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
    "LINEAR",
    "POINTWISE",
    "SAME",
    "Layout",
    "Rule",
    "to_ours",
    "to_theirs",
]
