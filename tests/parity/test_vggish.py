"""Our VGGish answers as the published ones do, from waveform to embedding.

`vggish.npz` holds what `record_vggish.py` recorded of torchvggish 0.2, stage by stage, and the
embedding of frechet-audio-distance 0.3.4, which leaves the last ReLU out. Errors are relative to
the largest value of what is compared.
"""

from pathlib import Path

import numpy as np
from parity.vggish_case import NARROW, answers, module, waveform
from parity.weights import draw


def test_every_stage_is_the_published():
    """In the network's order, so that the first to differ is where it goes wrong."""
    ours = answers(NARROW, draw(module(NARROW).shapes), waveform())
    with np.load(Path(__file__).with_name("vggish.npz")) as file:
        recorded = dict(file)
    assert ours.keys() == recorded.keys() - {"names", "openings"}
    for name, answer in ours.items():
        expected = recorded[name]
        assert answer.shape == expected.shape, name
        assert np.abs(expected).max() > 0.1, name
        assert np.abs(answer - expected).max() <= 5e-6 * np.abs(expected).max(), name
