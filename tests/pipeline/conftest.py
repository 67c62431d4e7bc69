"""A tiny model with random weights, and songs: what holds for it holds for any model."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gmsdi_jax.build import Model
from gmsdi_jax.config import ModelConfig
from gmsdi_jax.models import SpectralConfig, TagsConfig
from gmsdi_jax.pipeline import GMSDI

WINDOW = 4096


@pytest.fixture(scope="session")
def model() -> GMSDI:
    """Four labels at 22050 Hz, windows of 4096 samples."""
    network = SpectralConfig(
        text_features=8, fft=256, fine_bins=64, width=16, dilations=(1,), components=4
    )
    config = ModelConfig(network=network, conditioner=TagsConfig(features=8), window=WINDOW)
    rng = np.random.default_rng(0)

    def draw(like):
        return jnp.asarray(rng.standard_normal(like.shape) / np.sqrt(like.shape[0]), like.dtype)

    return GMSDI(config, jax.tree.map(draw, Model(config).shapes), "tiny")


@pytest.fixture(scope="session")
def song() -> Callable[..., np.ndarray]:
    """Makes noise-like songs ``[t c]`` at 0.1 rms, smooth enough to survive resampling."""

    def make(frames: int, channels: int = 1, seed: int = 0) -> np.ndarray:
        white = np.random.default_rng(seed).standard_normal((frames + 8, channels))
        smooth = sum(white[i : i + frames] for i in range(8)) / np.sqrt(8)
        return (0.1 * smooth).astype(np.float32)

    return make
