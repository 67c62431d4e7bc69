"""Given the same embeddings, our distances are those of the published toolkits.

`fad.npz` holds what `record_fad.py` recorded of frechet-audio-distance 0.3.4 (by its ``score``) and
kadtk 1.1.0. The former takes means in float32, which is what its numbers are good for.
"""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from parity.fad_case import CASES, embeddings

from gmsdi_jax.metrics.frechet import frechet_distance
from gmsdi_jax.metrics.kad import kernel_distance, median_distance


@pytest.mark.parametrize("case", CASES)
def test_distances_are_the_published(case):
    generated, reference = embeddings(case)
    with np.load(Path(__file__).with_name("fad.npz")) as file:
        fad, kad, bandwidth, first, last = file[case]
    assert_allclose([generated[0, 0], reference[-1, -1]], [first, last])  # drawn as when recorded
    assert_allclose(frechet_distance(generated, reference), fad, rtol=2e-7)
    assert_allclose(kernel_distance(generated, reference, bandwidth), kad, atol=1e-5)
    # Of an even number of distances, they take the lower middle one and we the mean of both.
    assert_allclose(median_distance(reference), bandwidth, rtol=1e-4)
