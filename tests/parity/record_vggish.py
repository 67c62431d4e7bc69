"""Records what published VGGishes answer, for `test_vggish.py`. Run by hand; needs torch.

    pip install -e ".[parity]" resampy tqdm
    pip install --no-deps torchvggish==0.2 frechet-audio-distance==0.3.4
    python tests/parity/record_vggish.py [--full]

The front end is torchvggish's own, a NumPy program that TensorFlow's VGGish shares. The network is
its class with layers of our widths; weights are drawn, ours, and handed to it through
`gmsdi_jax.convert.vggish`. What frechet-audio-distance makes of the same network is recorded too.
``--full`` compares the published size, prints the errors and records nothing.
"""

import argparse
import sys
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn
from torchvggish import torchvggish, vggish_input

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))

from parity.vggish_case import NARROW, answers, module, waveform  # noqa: E402
from parity.weights import draw, openings  # noqa: E402

from gmsdi_jax.arrays import flatten  # noqa: E402
from gmsdi_jax.convert.names import to_theirs  # noqa: E402
from gmsdi_jax.convert.vggish import VGGISH_TORCH  # noqa: E402
from gmsdi_jax.models import VggishConfig  # noqa: E402
from gmsdi_jax.types import Params  # noqa: E402


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


def their_answers(config: VggishConfig, params: Params, wave: np.ndarray) -> dict[str, np.ndarray]:
    """As `answers`, by the published code."""
    model = published(config)
    flat = {name: np.asarray(value) for name, value in flatten(params).items()}
    theirs = to_theirs(flat, VGGISH_TORCH.rules(config))
    model.load_state_dict({name: torch.from_numpy(array) for name, array in theirs.items()})
    held = {name: value.numpy() for name, value in model.state_dict().items()}
    heard = {
        "openings": openings(held),
        "log-mel": vggish_input.mel_features.log_mel_spectrogram(
            wave, 16000, 0.01, 0.025, 0.010, num_mel_bins=64, lower_edge_hertz=125.0,
            upper_edge_hertz=7500.0,
        ).astype(np.float32),
    }  # fmt: skip
    pools = [layer for layer in model.features if isinstance(layer, nn.MaxPool2d)]
    for i, pool in enumerate(pools):
        pool.register_forward_hook(
            lambda module, args, output, i=i: heard.update(
                {f"stage {i}": output.detach().numpy().transpose(0, 2, 3, 1)}
            )
        )
    blocks = vggish_input.waveform_to_examples(wave, 16000)
    with torch.no_grad():
        heard["examples"] = blocks.numpy()[:, 0]
        heard["embedding"] = model(blocks).numpy()
        heard["embedding, no ReLU"] = distance_embedding(model, wave)
    return heard


def distance_embedding(model: torch.nn.Module, wave: np.ndarray) -> np.ndarray:
    """What frechet-audio-distance embeds this audio as, by this network, which it would fetch."""
    for name in ("laion_clap", "encodec"):  # for other embeddings
        sys.modules.setdefault(name, mock.MagicMock())
    from frechet_audio_distance import FrechetAudioDistance

    class Hears(nn.Module):
        """torchvggish as torch.hub has it, which takes audio; the network is shared."""

        def __init__(self):
            super().__init__()
            self.network, self.embeddings = model, model.embeddings

        def forward(self, audio: np.ndarray, rate: int) -> torch.Tensor:
            self.network.embeddings = self.embeddings
            return self.network(vggish_input.waveform_to_examples(audio, rate))

    with mock.patch.object(torch.hub, "load", return_value=Hears()):
        return FrechetAudioDistance(model_name="vggish").get_embeddings([wave], 16000)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="compare the published size")
    full = parser.parse_args().full
    config = VggishConfig() if full else NARROW
    params, wave = draw(module(config).shapes), waveform()
    theirs, ours = their_answers(config, params, wave), answers(config, params, wave)
    for name, value in ours.items():
        error = np.abs(value - theirs[name]).max() / np.abs(theirs[name]).max()
        print(f"{name:18} {error:.1e}")
    if not full:
        state = published(VggishConfig()).state_dict()
        shapes = [f"{name} {list(value.shape)}" for name, value in state.items()]
        np.savez_compressed(HERE / "vggish.npz", **theirs, names=np.array("\n".join(shapes)))


if __name__ == "__main__":
    main()
