"""VGGish: the PyTorch port (torchvggish) and the TensorFlow checkpoint.

Both flatten the last picture with its features innermost, as this library does. What torchvggish
calls PCA parameters belongs to YouTube-8M's post-processing, never to a FAD, and is not converted.
"""

from collections.abc import Mapping
from typing import Any

from gmsdi_jax.convert.format import Format, Shapes
from gmsdi_jax.convert.names import CONV2D, LINEAR, Rule
from gmsdi_jax.models import Pure, Vggish, VggishConfig

_TORCH = {0: (0, 0), 3: (1, 0), 6: (2, 0), 8: (2, 1), 11: (3, 0), 13: (3, 1)}
_TF = {"conv1": (0, 0), "conv2": (1, 0), "conv3/conv3_1": (2, 0), "conv3/conv3_2": (2, 1),
       "conv4/conv4_1": (3, 0), "conv4/conv4_2": (3, 1)}  # fmt: skip


def _torch_config(shapes: Shapes, values: Mapping[str, Any]) -> VggishConfig:
    """There is one size; the widths are read off nevertheless, for small ones in tests."""
    widths = {place: shapes[f"features.{i}.weight"][0] for i, place in _TORCH.items()}
    features, hidden = shapes["embeddings.4.weight"]
    return _config(widths, hidden, features)


def _tf_config(shapes: Shapes, values: Mapping[str, Any]) -> VggishConfig:
    widths = {place: shapes[f"vggish/{name}/weights"][-1] for name, place in _TF.items()}
    hidden, features = shapes["vggish/fc2/weights"]
    return _config(widths, hidden, features)


def _config(widths: Mapping[tuple[int, int], int], hidden: int, features: int) -> VggishConfig:
    stages = tuple(
        tuple(widths[stage, conv] for conv in range(2) if (stage, conv) in widths)
        for stage in range(4)
    )
    return VggishConfig(widths=stages, hidden=hidden, features=features)


def _torch_rules(config: VggishConfig) -> list[Rule]:
    found = []
    for number, (stage, conv) in _TORCH.items():
        ours = f"stages.{stage}.{conv}"
        found.append(Rule(f"features.{number}.weight", f"{ours}.kernel", CONV2D))
        found.append(Rule(f"features.{number}.bias", f"{ours}.bias"))
    for number in range(3):
        found.append(Rule(f"embeddings.{2 * number}.weight", f"layers.{number}.kernel", LINEAR))
        found.append(Rule(f"embeddings.{2 * number}.bias", f"layers.{number}.bias"))
    return found


def _tf_rules(config: VggishConfig) -> list[Rule]:
    names = {f"stages.{stage}.{conv}": name for name, (stage, conv) in _TF.items()}
    names |= {"layers.0": "fc1/fc1_1", "layers.1": "fc1/fc1_2", "layers.2": "fc2"}
    return [
        Rule(f"vggish/{theirs}/{kind}", f"{ours}.{part}")
        for ours, theirs in names.items()
        for kind, part in (("weights", "kernel"), ("biases", "bias"))
    ]


def _shapes(config: VggishConfig) -> Any:
    return Pure(lambda rngs: Vggish(config, rngs=rngs)).shapes


VGGISH_TORCH = Format(
    name="vggish-torch",
    holds="VGGish",
    marks=(r"features\.13\.weight", r"embeddings\.4\.weight"),
    config=_torch_config,
    rules=_torch_rules,
    shapes=_shapes,
    ignored=(r"pproc\..*",),
)
VGGISH_TF = Format(
    name="vggish-tf",
    holds="VGGish",
    marks=(r"vggish/conv1/weights", r"vggish/fc2/weights"),
    config=_tf_config,
    rules=_tf_rules,
    shapes=_shapes,
    ignored=(r"(?!vggish/).*", r"vggish/.*/(Adam|Adam_1)"),
)
FORMATS = (VGGISH_TORCH, VGGISH_TF)
