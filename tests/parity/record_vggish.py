"""Records what torchvggish answers, for `test_vggish.py`. Run by hand; needs torch.

    pip install -e ".[parity]" && pip install --no-deps torchvggish==0.2 resampy
    python tests/parity/record_vggish.py [--full]

The front end is torchvggish's own, a NumPy program that TensorFlow's VGGish shares. The network is
its class with layers of our widths; weights are drawn, ours, and handed to it through
`gmsdi_jax.convert.vggish`. ``--full`` compares the published size, prints the errors and records
nothing.
"""

import argparse
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvggish import torchvggish, vggish_input

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))

from parity.vggish_case import NARROW, answers, module, waveform  # noqa: E402
from parity.weights import draw  # noqa: E402

from gmsdi_jax.arrays import flatten  # noqa: E402
from gmsdi_jax.convert.names import to_theirs  # noqa: E402
from gmsdi_jax.convert.vggish import VGGISH_TORCH  # noqa: E402
from gmsdi_jax.models import VggishConfig  # noqa: E402


def published(config: VggishConfig) -> torch.nn.Module:
    """The published class, with layers of these widths."""
    convs, features = [], 1
    for widths in config.widths:
        for width in widths:
            convs += [nn.Conv2d(features, width, 3, padding=1), nn.ReLU()]
            features = width
        convs.append(nn.MaxPool2d(2, 2))
    model = torchvggish.VGG(nn.Sequential(*convs), postprocess=False)
    sizes = (features * 24, config.hidden, config.hidden, config.features)
    layers = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    model.embeddings = nn.Sequential(*layers)
    return model.eval()


def their_answers(config: VggishConfig, params: dict, wave: np.ndarray) -> dict[str, np.ndarray]:
    """As `answers`, by the published code."""
    model = published(config)
    flat = {name: np.asarray(value) for name, value in flatten(params).items()}
    theirs = to_theirs(flat, VGGISH_TORCH.rules(config))
    model.load_state_dict({name: torch.from_numpy(array) for name, array in theirs.items()})
    mel = vggish_input.mel_features.log_mel_spectrogram(
        wave, 16000, 0.01, 0.025, 0.010, num_mel_bins=64, lower_edge_hertz=125.0,
        upper_edge_hertz=7500.0,
    )  # fmt: skip
    blocks = vggish_input.waveform_to_examples(wave, 16000)
    with torch.no_grad():
        out = model(blocks)
    return {
        "log-mel": mel.astype(np.float32),
        "examples": blocks.detach().numpy()[:, 0],
        "embedding": out.numpy(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="compare the published size")
    full = parser.parse_args().full
    config = VggishConfig(relu_last=True) if full else NARROW
    params, wave = draw(module(config).shapes), waveform()
    theirs, ours = their_answers(config, params, wave), answers(config, params, wave)
    for name, value in theirs.items():
        error = np.abs(ours[name] - value).max() / np.abs(value).max()
        print(f"{name:12} {value.shape}: largest error {error:.1e}")
    if not full:
        state = published(VggishConfig()).state_dict()
        shapes = [f"{name}={','.join(map(str, a.shape))}" for name, a in state.items()]
        np.savez_compressed(HERE / "vggish.npz", **theirs, shapes=np.array(shapes))


if __name__ == "__main__":
    main()
