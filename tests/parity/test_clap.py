"""Our CLAP answers as the published ones do, given the same weights.

`clap.npz` holds what `record_clap.py` recorded of LAION's own code, layer by layer from the
waveform on, and of transformers' `ClapModel` and `ClapFeatureExtractor`. Errors are relative to the
largest value of what is compared.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from parity.clap_case import LENGTHS, SECOND, SMALL, answers, module, waveforms
from parity.weights import draw

from gmsdi_jax.models.clap import ClapConfig, MelConfig, crops, log_mel
from gmsdi_jax.models.clap.crops import quantise
from gmsdi_jax.models.clap.htsat import stretch


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("clap.npz")) as file:
        return dict(file)


@pytest.fixture(scope="module")
def ours() -> dict[str, jax.Array]:
    return answers(SMALL, draw(module(SMALL).shapes))


def error(ours: jax.Array, expected: np.ndarray) -> float:
    assert ours.shape == expected.shape
    return float(np.abs(np.asarray(ours) - expected).max() / np.abs(expected).max())


def test_every_layer_is_laions(recorded, ours):
    """In the network's order, so that the first to differ is where it goes wrong."""
    layers = [name for name in recorded if name in ours]
    assert len(layers) == len(ours) == 20
    for name in layers:
        assert error(ours[name], recorded[name]) <= 5e-6, name


@pytest.mark.parametrize("branch", ["audio", "text"])
def test_embeddings_are_those_of_transformers(branch, recorded, ours):
    """Though it computes the spectrogram in float64, and splits and renames the layers."""
    assert error(ours[branch], recorded[f"{branch}, transformers"]) <= 5e-6


@pytest.mark.parametrize(
    ("scale", "front_end"),
    [
        ("slaney", "torchlibrosa"),
        ("slaney", "transformers slaney"),
        ("htk", "transformers htk"),
    ],
)
def test_front_ends_are_the_published(scale, front_end, recorded):
    """A second at the published rate; decibels, of which the bands' scales are 20 apart."""
    wave = waveforms(ClapConfig(mel=SECOND))[0]
    mel = log_mel(jnp.asarray(wave), MelConfig(clip=SECOND.clip, scale=scale))
    assert_allclose(mel, recorded[f"mel, {front_end}"], atol=2e-3)


@pytest.mark.parametrize("name", LENGTHS)
def test_short_audio_is_repeated_as_laion_does(name, recorded):
    """Whole repetitions, then zeros; also where not even a second one fits."""
    wave = jnp.asarray(waveforms(SMALL)[0, : LENGTHS[name]])
    filled = crops(wave, SMALL.mel.clip, SMALL.crops)[0]
    np.testing.assert_array_equal(filled[::7], recorded[f"filled, {name}"])


def test_quantisation_is_laions(recorded):
    """Clipped to full scale and rounded towards zero."""
    wave = jnp.asarray(3 * waveforms(SMALL)[0, ::50])
    assert_allclose(quantise(wave), recorded["quantised"], rtol=1e-6)


def test_bicubic_interpolation_is_pytorchs(recorded):
    """From the frames of ten seconds to the height of four squares."""
    grid = np.random.default_rng(2).standard_normal((1, 1, 1001, 2), np.float32)[0, 0]
    assert_allclose(stretch(1001, 1024) @ grid, recorded["bicubic"], atol=3e-6)
