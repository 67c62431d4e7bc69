"""T5 encoders as Hugging Face publishes them: ``t5-small``, T5 v1.1, and all sizes of either.

A file of the whole model holds the decoder as well, which is of no use here. The token embeddings
stand in it once or twice, under two names; a file of the encoder alone may have either.

Sizes are read off the arrays. A config.json adds what no array tells; without one it is as in all
published T5s.
"""

import re
from collections.abc import Mapping
from typing import Any

from gmsdi_jax.convert.format import Format, Shapes
from gmsdi_jax.convert.names import LINEAR, Rule
from gmsdi_jax.models.pure import Pure
from gmsdi_jax.models.t5 import T5, T5Config

_BIAS = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
_EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight")


def config(shapes: Shapes, values: Mapping[str, Any]) -> T5Config:
    """Sizes from the arrays, the rest from config.json.

    Raises:
        ValueError: an array is missing, or no T5 encoder has these sizes or this activation.
    """
    first = "encoder.block.0.layer"
    inner, features = _shape(shapes, f"{first}.0.SelfAttention.q.weight")
    buckets, heads = _shape(shapes, _BIAS)
    gated = f"{first}.1.DenseReluDense.wi_0.weight" in shapes
    feed = "gated-gelu" if gated else "relu"
    if values.get("feed_forward_proj", feed) != feed:
        raise ValueError(f"feed_forward_proj is {values['feed_forward_proj']}: T5 has {feed} here")
    if inner % heads:
        raise ValueError(f"{inner} features of attention do not divide among {heads} heads")
    numbers = [re.match(r"encoder\.block\.(\d+)\.", name) for name in shapes]
    name = "wi_0" if gated else "wi"
    return T5Config(
        features=features,
        layers=1 + max(int(match[1]) for match in numbers if match),
        heads=heads,
        head_features=inner // heads,
        hidden=_shape(shapes, f"{first}.1.DenseReluDense.{name}.weight")[0],
        vocabulary=_shape(shapes, *_EMBEDDINGS)[0],
        buckets=buckets,
        max_distance=values.get("relative_attention_max_distance", T5Config.max_distance),
        gated=gated,
        epsilon=values.get("layer_norm_epsilon", T5Config.epsilon),
    )


def rules(config: T5Config) -> list[Rule]:
    """The table of names."""
    attention, feed = "encoder.block.{i}.layer.0", "encoder.block.{i}.layer.1"
    qkv = tuple(f"{attention}.SelfAttention.{name}.weight" for name in "qkv")
    inner = {"wi_0": "gate", "wi_1": "up"} if config.gated else {"wi": "up"}
    return [
        Rule(_EMBEDDINGS[0], "embed.embedding"),
        Rule(_BIAS, "distances.embedding"),
        Rule(f"{attention}.layer_norm.weight", "layers[{i}].norm1.scale"),
        Rule(qkv, "layers[{i}].qkv.kernel", LINEAR),
        Rule(f"{attention}.SelfAttention.o.weight", "layers[{i}].out.kernel", LINEAR),
        Rule(f"{feed}.layer_norm.weight", "layers[{i}].norm2.scale"),
        *(
            Rule(f"{feed}.DenseReluDense.{theirs}.weight", f"layers[{{i}}].{ours}.kernel", LINEAR)
            for theirs, ours in inner.items()
        ),
        Rule(f"{feed}.DenseReluDense.wo.weight", "layers[{i}].down.kernel", LINEAR),
        Rule("encoder.final_layer_norm.weight", "norm.scale"),
    ]


def _shape(shapes: Shapes, *names: str) -> tuple[int, ...]:
    """The shape under the first of these names that is there."""
    for name in names:
        if name in shapes:
            return shapes[name]
    raise ValueError(f"{names[0]} is missing")


T5_ENCODER = Format(
    name="t5",
    holds="a T5 encoder",
    marks=(r"encoder\.block\.0\.layer\.0\.SelfAttention\.q\.weight", re.escape(_BIAS)),
    config=config,
    rules=rules,
    shapes=lambda config: Pure(lambda rngs: T5(config, rngs=rngs)).shapes,
    copies={_EMBEDDINGS[1]: _EMBEDDINGS[0]},
    ignored=(r"decoder\..*", r"lm_head\..*"),
)
