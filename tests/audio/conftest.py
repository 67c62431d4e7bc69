"""Tones: signals whose every sample is known."""

import numpy as np
import pytest


@pytest.fixture
def tone():
    """A function that makes sines, one frequency (Hz) per channel: float32 [t c], peak 0.25."""

    def make(seconds: float, sample_rate: int, frequencies=(220.0, 330.0)) -> np.ndarray:
        time = np.arange(round(seconds * sample_rate)) / sample_rate
        phase = 2 * np.pi * time[:, None] * np.array(frequencies)
        return (0.25 * np.sin(phase)).astype(np.float32)

    return make
