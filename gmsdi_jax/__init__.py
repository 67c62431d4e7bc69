"""GMSDI in JAX: one diffusion model of music, trained on mixtures, that separates and generates.

from gmsdi_jax import GMSDI
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["GMSDI", "__version__"]

if TYPE_CHECKING:
    from gmsdi_jax.pipeline import GMSDI


def __getattr__(name: str) -> Any:
    """Loads the pipeline on first use, so that importing a part does not import the whole."""
    if name == "GMSDI":
        from gmsdi_jax.pipeline import GMSDI

        return GMSDI
    raise AttributeError(f"module 'gmsdi_jax' has no attribute {name!r}")
