"""VGGish: the PyTorch port (torchvggish) and the TensorFlow checkpoint.

There is one published size; widths are read off the arrays nevertheless. Both publishers flatten
the last picture with its features innermost, as this library does, so the first dense layer needs
no reordering. torchvggish's PCA parameters (``pproc``) are not converted: they imitate the
post-processing of YouTube-8M's features, and belong to no Fréchet audio distance.
"""

from collections.abc import Mapping
from typing import Any

from gmsdi_jax.convert.format import Format, Shapes
from gmsdi_jax.convert.names import CONV2D, LINEAR, Rule
from gmsdi_jax.models.pure import Pure
from gmsdi_jax.models.vggish import Vggish, VggishConfig
from gmsdi_jax.types import Params

_TORCH = {
    "stages.0.0": "features.0",
    "stages.1.0": "features.3",
    "stages.2.0": "features.6",
    "stages.2.1": "features.8",
    "stages.3.0": "features.11",
    "stages.3.1": "features.13",
    "layers.0": "embeddings.0",
    "layers.1": "embeddings.2",
    "layers.2": "embeddings.4",
}
_TF = {
    "stages.0.0": "vggish/conv1",
    "stages.1.0": "vggish/conv2",
    "stages.2.0": "vggish/conv3/conv3_1",
    "stages.2.1": "vggish/conv3/conv3_2",
    "stages.3.0": "vggish/conv4/conv4_1",
    "stages.3.1": "vggish/conv4/conv4_2",
    "layers.0": "vggish/fc1/fc1_1",
    "layers.1": "vggish/fc1/fc1_2",
    "layers.2": "vggish/fc2",
}


def torch_rules(config: VggishConfig) -> list[Rule]:
    """The names of torchvggish's state dict."""
    del config
    return [
        rule
        for ours, theirs in _TORCH.items()
        for rule in (
            Rule(f"{theirs}.weight", f"{ours}.kernel", CONV2D if "stages" in ours else LINEAR),
            Rule(f"{theirs}.bias", f"{ours}.bias"),
        )
    ]


def tf_rules(config: VggishConfig) -> list[Rule]:
    """The names of TensorFlow's variables, whose axes are ordered as ours."""
    del config
    return [
        Rule(f"{theirs}/{kind}", f"{ours}.{part}")
        for ours, theirs in _TF.items()
        for kind, part in (("weights", "kernel"), ("biases", "bias"))
    ]


def torch_config(shapes: Shapes, values: Mapping[str, Any]) -> VggishConfig:
    """Sizes from the biases.

    Raises:
        ValueError: one is missing.
    """
    del values  # nobody publishes any
    return _config(shapes, {ours: f"{theirs}.bias" for ours, theirs in _TORCH.items()})


def tf_config(shapes: Shapes, values: Mapping[str, Any]) -> VggishConfig:
    """Sizes from the biases.

    Raises:
        ValueError: one is missing.
    """
    del values  # nobody publishes any
    return _config(shapes, {ours: f"{theirs}/biases" for ours, theirs in _TF.items()})


def _config(shapes: Shapes, biases: Mapping[str, str]) -> VggishConfig:
    missing = [name for name in biases.values() if name not in shapes]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    outputs = {ours: shapes[name][0] for ours, name in biases.items()}
    stages = (
        [width for ours, width in outputs.items() if ours.startswith(f"stages.{stage}.")]
        for stage in range(4)
    )
    return VggishConfig(
        widths=tuple(map(tuple, stages)), hidden=outputs["layers.1"], features=outputs["layers.2"]
    )


def _shapes(config: VggishConfig) -> Params:
    return Pure(lambda rngs: Vggish(config, rngs=rngs)).shapes


VGGISH_TORCH = Format(
    name="vggish-torch",
    holds="VGGish",
    marks=(r"features\.13\.weight", r"embeddings\.4\.weight"),
    config=torch_config,
    rules=torch_rules,
    shapes=_shapes,
    ignored=(r"pproc\..*",),
)
VGGISH_TF = Format(
    name="vggish-tf",
    holds="VGGish",
    marks=(r"vggish/conv1/weights", r"vggish/fc2/weights"),
    config=tf_config,
    rules=tf_rules,
    shapes=_shapes,
    ignored=(r"(?!vggish/).*", r"vggish/.*/(Adam|Adam_1)"),  # counters, an optimizer's state
)
