"""Weights for networks without compiling an initialiser."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gmsdi_jax.types import Params


@pytest.fixture(scope="session")
def draw_weights() -> Callable[[Params], Params]:
    """From shapes to weights drawn by NumPy with variance 1 / fan-in; scales are near 1."""

    def draw(shapes: Params) -> Params:
        rng = np.random.default_rng(0)

        def leaf(path, like):
            fan_in = np.prod(like.shape[:-1]) if len(like.shape) > 1 else 100
            centre = 1.0 if path[-1].key == "scale" else 0.0
            value = centre + rng.standard_normal(like.shape) / np.sqrt(fan_in)
            return jnp.asarray(value, like.dtype)

        return jax.tree_util.tree_map_with_path(leaf, shapes)

    return draw
