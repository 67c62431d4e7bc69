"""Writes checkpoints as PyTorch writes them: tests/convert/{zip,legacy,protocol4}.ckpt.

Run by hand, with torch installed (recorded with 2.13.0):

    PYTHONPATH=tests python tests/convert/record_checkpoints.py

They look like one of Lightning's: weights, an optimizer's state, and hyper-parameters with an
object whose class whoever reads the file does not have. `--check FILE.pt` loads what `gmsdi export`
wrote, as a user of PyTorch would.
"""

import sys
import types
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from convert.checkpoint_case import EMA, TOLD, arrays, numbers

HERE = Path(__file__).parent


class LogNormalDistribution:
    """As MSDM's checkpoints hold one, of audio_diffusion_pytorch.diffusion."""

    def __init__(self):
        self.mean, self.std = -3.0, 1.0


class AttributeDict(dict):
    """As Lightning keeps hyper-parameters in."""


def state() -> OrderedDict:
    """The tensors that `arrays` describes, with the views and the sharing it speaks of."""
    plain = torch.from_numpy(numbers(2, 3))
    made = {
        "plain": plain,
        "transposed": plain.T,
        "every_second_of_a_part": torch.arange(12.0)[3:11:2],
        "tied": plain,
        "expanded": torch.arange(3.0).expand(2, 3),
        "parameter": torch.nn.Parameter(torch.arange(4.0) / 3),
        "brain": (torch.arange(5.0) / 3).bfloat16(),
    }
    wanted = arrays()
    tensors = {
        name: made[name] if name in made else torch.from_numpy(np.array(array))
        for name, array in wanted.items()
    }
    for name, tensor in tensors.items():
        same = tensor.detach().float().numpy() == wanted[name].astype(np.float32)
        assert same.all(), name
    held = OrderedDict(tensors)
    held._metadata = OrderedDict({"": {"version": 1}})  # as Module.state_dict() has it
    return held


def checkpoint() -> dict:
    """Everything."""
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(3))])
    optimizer.param_groups[0]["params"][0].grad = torch.ones(3)
    optimizer.step()
    return {
        "epoch": 419,
        "global_step": 1,
        "state_dict": state(),
        "ema": {"model": OrderedDict(weight=torch.from_numpy(EMA))},
        "optimizer_states": [optimizer.state_dict()],
        "hyper_parameters": AttributeDict(
            TOLD, diffusion_sigma_distribution=LogNormalDistribution()
        ),
    }


def main() -> None:
    """Writes the three files, under the classes' published names."""
    for made, module in (
        (LogNormalDistribution, "audio_diffusion_pytorch.diffusion"),
        (AttributeDict, "pytorch_lightning.utilities.parsing"),
    ):
        made.__module__ = module
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            sys.modules[name] = types.ModuleType(name)
        setattr(sys.modules[module], made.__name__, made)
    torch.save(checkpoint(), HERE / "zip.ckpt")
    torch.save(checkpoint(), HERE / "protocol4.ckpt", pickle_protocol=4)
    torch.save(checkpoint(), HERE / "legacy.ckpt", _use_new_zipfile_serialization=False)
    for path in sorted(HERE.glob("*.ckpt")):
        print(path.name, path.stat().st_size, "bytes")


def check(path: str) -> None:
    """Prints what PyTorch makes of a file, with the safe loader."""
    for name, tensor in torch.load(path, weights_only=True).items():
        print(name, tuple(tensor.shape), tensor.dtype, float(tensor.double().sum()))


if __name__ == "__main__":
    check(sys.argv[2]) if sys.argv[1:2] == ["--check"] else main()
