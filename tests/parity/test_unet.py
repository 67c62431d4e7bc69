"""Our U-Net answers as the published ones do, given the same weights.

`unet.npz` holds what `record_unet.py` recorded of audio-diffusion-pytorch 0.0.43, with and without
text, and 0.0.97: the output of each layer, of the network, and the gradient with respect to the
audio. Errors are relative to the largest value of what is compared.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity.unet_case import CASES, answers, inputs, network
from parity.weights import draw


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("unet.npz")) as file:
        return dict(file)


@pytest.mark.parametrize("name", CASES)
def test_every_layer_is_the_published(name, recorded):
    """In the network's order, so that the first to differ is where it goes wrong."""
    layers = [key for key in recorded if key.startswith(f"{name}: ")]
    assert len(layers) > 15
    compare(name, recorded, [key for key in layers if not key.endswith("gradient")])


@pytest.mark.parametrize("name", [n if n == "0.0.43" else pytest.param(n, marks=pytest.mark.slow)
                                  for n in CASES])  # fmt: skip
def test_input_gradients_are_the_published(name, recorded):
    """The derivative that separation by likelihood needs."""
    compare(name, recorded, [f"{name}: gradient"])


def compare(name: str, recorded: dict[str, np.ndarray], keys: list[str]) -> None:
    unet = network(CASES[name])
    params = draw({"network": unet.shapes})["network"]
    gradient = keys[-1].endswith("gradient")
    ours = answers(unet, jax.tree.map(jnp.asarray, params), inputs(CASES[name]), gradient)
    for key in keys:
        error = np.abs(ours[key.removeprefix(f"{name}: ")][1] - recorded[key]).max()
        assert error <= 4e-6 * np.abs(recorded[key]).max(), key
