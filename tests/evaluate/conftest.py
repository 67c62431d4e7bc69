"""A split of tones, and a model of random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evaluate.tones import CONFIG, write_songs

from gmsdi_jax.build import Model
from gmsdi_jax.pipeline import GMSDI


@pytest.fixture(scope="session")
def split(tmp_path_factory):
    return write_songs(tmp_path_factory.mktemp("data") / "test")


@pytest.fixture(scope="session")
def model():
    rng = np.random.default_rng(0)

    def draw(like):
        return jnp.asarray(rng.standard_normal(like.shape) / np.sqrt(like.shape[0]), like.dtype)

    return GMSDI(CONFIG, jax.tree.map(draw, Model(CONFIG).shapes))
