"""Records what the published U-Nets answer, for `test_unet.py`. Run by hand; needs torch.

    pip install -e ".[parity]" einops-exts
    pip install --no-deps --target DIR_43 audio-diffusion-pytorch==0.0.43
    pip install --no-deps --target DIR_97 audio-diffusion-pytorch==0.0.97
    python tests/parity/record_unet.py --adp-43 DIR_43 --adp-97 DIR_97 [--full MODEL]

Weights are drawn, ours, and handed to the published networks through `gmsdi_jax.convert.adp`; what
is recorded is their answer layer by layer, and the gradient with respect to the audio, of the
second of two rows. The names and shapes of the weights of the published sizes are recorded as well.
``--full`` compares one network of a published size, prints the errors and records nothing.
"""

import argparse
import gc
import importlib
import re
import sys
import time
from pathlib import Path
from unittest import mock

import jax
import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))

from parity.unet_case import CASES, answers, inputs, network  # noqa: E402
from parity.weights import draw, openings  # noqa: E402

from gmsdi_jax.arrays import flatten  # noqa: E402
from gmsdi_jax.convert.adp import AdpConfig, rules, shapes_of  # noqa: E402
from gmsdi_jax.convert.names import to_theirs  # noqa: E402
from gmsdi_jax.models import UNet1dConfig  # noqa: E402

TEXT = 512
PUBLISHED = {
    "msdm, joint": UNet1dConfig.msdm(4),
    "msdm, weakly supervised": UNet1dConfig.msdm(1),
    "0.0.43, the paper's": UNet1dConfig.paper(TEXT),
    "0.0.43, default": UNet1dConfig(channels=128, patch=2, patch_blocks=4, head_features=64),
    "0.0.97, the paper's": UNet1dConfig(text_in="transformer"),
    "0.0.97, default": UNet1dConfig(text_in="transformer", channels=128, head_features=64),
}
# Their names to ours, part by part.
PLACES = (
    (r"to_(in|out)\.module_list\.(\d+)\.block", r"to_\1.\2"),
    (r"to_(in|out)\.block", r"to_\1.0"),
    ("^to_mapping", "time"),
    ("^to_in", "enter"),
    ("^to_out", "leave"),
    ("pre_block", "before"),
    ("post_block", "after"),
    ("downsamples", "downs"),
    ("upsamples", "ups"),
    ("downsample", "shrink"),
    ("upsample", "grow"),
    (r"cross_attend|cross_attention$", "text"),
)


def published(config: UNet1dConfig, tokens: int | None) -> torch.nn.Module:
    """The published network of our sizes, of the version whose package is on the path."""
    modules = importlib.import_module("audio_diffusion_pytorch.modules")
    old = config.text_in == "blocks"
    sizes = {
        "in_channels": config.audio_channels,
        "channels": config.channels,
        "multipliers": config.multipliers,
        "factors": config.factors,
        "num_blocks": config.blocks,
        "attention_heads": config.heads,
        "attention_features": config.head_features,
        "attention_multiplier": 2,
        "resnet_groups": config.groups,
    }
    if tokens is not None:
        sizes["context_embedding_features"] = config.text_features
        sizes["context_embedding_max_length"] = tokens
    if old:
        kind = modules.UNet1d if tokens is None else modules.UNetConditional1d
        return kind(
            **sizes, patch_factor=config.patch, patch_blocks=config.patch_blocks,
            attentions=[bool(count) for count in config.attentions],
            use_attention_bottleneck=bool(config.bottleneck_attentions),
            kernel_multiplier_downsample=2, kernel_sizes_init=[1, 3, 7],
            use_nearest_upsample=False, use_skip_scale=True, use_context_time=True,
        )  # fmt: skip
    kind = modules.UNet1d if tokens is None else modules.UNetCFG1d
    attentions = [*config.attentions, config.bottleneck_attentions]
    return kind(
        **sizes, patch_size=config.patch, attentions=attentions, attention_use_rel_pos=False
    )


def place(name: str) -> str:
    """Our name of a layer of theirs."""
    for theirs, ours in PLACES:
        name = re.sub(theirs, ours, name)
    return name


def loaded(config: UNet1dConfig, params: dict, tokens: int | None) -> torch.nn.Module:
    """The published network with our weights."""
    model = published(config, tokens)
    flat = {name: np.asarray(value) for name, value in flatten(params).items()}
    arrays = to_theirs(flat, rules(AdpConfig(network=config, tokens=tokens)))
    model.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    return model


def their_answers(config: UNet1dConfig, params: dict, given: dict, tokens: int | None) -> dict:
    """The same as `answers`, of the published network, in the order of its layers."""
    model = published(config, tokens)
    flat = {name: np.asarray(value) for name, value in flatten(params).items()}
    arrays = to_theirs(flat, rules(AdpConfig(network=config, tokens=tokens)))
    model.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    model.requires_grad_(False)  # of the audio alone
    del flat, arrays
    found = {}

    def hear(name):
        def hook(module, args, out):
            array = out.detach().numpy()
            found[place(name)] = array if array.ndim == 2 else np.swapaxes(array, 1, 2).copy()

        return hook

    whole = {"ResnetBlock1d", "EinopsToAndFrom", "TransformerBlock1d", "Transformer1d"}
    for name, module in model.named_modules():
        kind = type(module).__name__
        if kind in whole or name == "to_mapping" or re.search(r"\.(down|up)sample$", name):
            module.register_forward_hook(hear(name))
    x = torch.from_numpy(np.swapaxes(given["x"], 1, 2).copy()).requires_grad_()
    heard = {} if tokens is None else {"embedding": torch.from_numpy(given["text"])}
    out = model(x, torch.from_numpy(given["c_noise"]), **heard)
    out.backward(torch.from_numpy(np.swapaxes(given["direction"], 1, 2).copy()))
    found |= {"output": out.detach().numpy(), "gradient": x.grad.numpy()}
    return found | {name: np.swapaxes(found[name], 1, 2) for name in ("output", "gradient")}


def names_and_shapes(config: UNet1dConfig, tokens: int | None) -> np.ndarray:
    """One string per weight: ``name=4,5,6``."""
    with torch.device("meta"):
        state = published(config, tokens).state_dict()
    return np.array([f"{name}={','.join(map(str, a.shape))}" for name, a in state.items()])


def openings_of(config: UNet1dConfig, params: dict, tokens: int | None) -> np.ndarray:
    """What the published network holds at the beginning of each array, once it answered right."""
    state = loaded(config, params, tokens).state_dict()
    return openings({name: array.numpy() for name, array in state.items()})


def compare(name: str, samples: int) -> None:
    """Prints the largest error of each layer, relative to the layer's largest value."""
    config = PUBLISHED[name]
    tokens = None if config.text_features is None else 64
    params = draw(shapes_of(AdpConfig(network=config, tokens=tokens)))
    given = inputs(config, samples)
    start = time.monotonic()
    expected = their_answers(config, params, given, tokens)
    gc.collect()
    print(f"{name}: theirs took {time.monotonic() - start:.0f} s")
    start = time.monotonic()
    ours = answers(network(config), jax.tree.map(jax.numpy.asarray, params["network"]), given)
    print(f"{name}: ours took {time.monotonic() - start:.0f} s, with compilation")
    for layer, value in expected.items():
        error, size = np.abs(ours[layer] - value), np.abs(value).max()
        rms = np.sqrt((error**2).mean() / (value**2).mean())
        print(f"{layer:40} max {error.max() / size:.1e}  rms {rms:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for version in ("43", "97"):
        text = f"folder of audio-diffusion-pytorch 0.0.{version}"
        parser.add_argument(f"--adp-{version}", type=Path, required=True, help=text)
    parser.add_argument("--full", choices=PUBLISHED, help="compare this network, record nothing")
    parser.add_argument("--samples", type=int, default=2**15, help="of --full")
    arguments = parser.parse_args()
    sys.modules["audio_encoders_pytorch"] = mock.MagicMock()
    folders = {"blocks": arguments.adp_43, "transformer": arguments.adp_97}

    def use(config: UNet1dConfig) -> None:
        for module in [name for name in sys.modules if name.startswith("audio_diffusion_pytorch")]:
            del sys.modules[module]
        sys.path[:] = [str(folders[config.text_in])] + [
            p for p in sys.path if p not in map(str, folders.values())
        ]

    if arguments.full:
        use(PUBLISHED[arguments.full])
        return compare(arguments.full, arguments.samples)

    recorded, shapes = {}, {}
    for name, config in CASES.items():
        use(config)
        tokens = None if config.text_features is None else 7
        params = draw(shapes_of(AdpConfig(network=config, tokens=tokens)))
        found = their_answers(config, params, inputs(config), tokens)
        recorded |= {f"{name}: {layer}": value[1] for layer, value in found.items()}
        shapes[name] = names_and_shapes(config, tokens)
        recorded[f"{name}, openings"] = openings_of(config, params, tokens)
    for name, config in PUBLISHED.items():
        use(config)
        shapes[name] = names_and_shapes(config, None if config.text_features is None else 64)
    for file, arrays in (("unet.npz", recorded), ("unet_shapes.npz", shapes)):
        np.savez_compressed(HERE / file, **arrays)
        print(f"{file}: {len(arrays)} arrays, {(HERE / file).stat().st_size / 1e3:.0f} kB")
    return None


if __name__ == "__main__":
    main()
