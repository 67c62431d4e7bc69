"""Validation windows of tones: two stems at 8 kHz, a second long."""

import numpy as np
import pytest

from gmsdi_jax.train.observe import Sample

RATE = 8000


@pytest.fixture
def sample():
    """Makes one window; the model's stems are the true ones at half the level."""

    def make(name="T1 at 0.5 s", scale=1.0):
        t = np.arange(RATE) / RATE
        stems = np.stack([0.3 * np.sin(2 * np.pi * f * t) for f in (200, 2000)]).astype(np.float32)
        mixture = scale * stems.sum(0)
        return Sample(name, ("Bass", "Piano"), mixture, stems, scale * 0.5 * stems, RATE)

    return make
