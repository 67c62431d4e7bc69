"""Our VGGish answers as the published one does, from waveform to embedding.

`vggish.npz` holds what `record_vggish.py` recorded of torchvggish 0.2. Errors are relative to the
largest value of what is compared.
"""

from pathlib import Path

import numpy as np
import pytest
from parity.vggish_case import NARROW, answers, module, waveform
from parity.weights import draw


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("vggish.npz")) as file:
        return dict(file)


@pytest.fixture(scope="module")
def ours() -> dict[str, np.ndarray]:
    return answers(NARROW, draw(module(NARROW).shapes), waveform())


@pytest.mark.parametrize("layer", ["log-mel", "examples", "embedding"])
def test_every_stage_is_the_published(layer, ours, recorded):
    """Front end, examples and network."""
    expected = recorded[layer]
    assert ours[layer].shape == expected.shape
    assert np.abs(expected).max() > 0.1
    assert np.abs(ours[layer] - expected).max() <= 1e-5 * np.abs(expected).max()
