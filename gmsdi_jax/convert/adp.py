"""U-Nets of audio-diffusion-pytorch 0.0.43 and 0.0.97, and MSDM's checkpoints, which hold them.

All three have the same parts under slightly different names, so one table is built from the parts.
Every tensor occurs more than once, because the diffusion object keeps the network too: those
copies (``diffusion.net.*``) are ignored. Where the network hears text, its learned table for "no
text" (``fixed_embedding``) is our conditioner's ``null``.

Sizes are read off the shapes, all but the number of attention heads and of norm groups: 8 as
published, or ``attention_heads`` and ``resnet_groups`` of a foreign config.json. What a network was
trained for cannot be read off either: 0.0.97 defaults to another objective (v-diffusion), and only
networks of ``diffusion_type="k"`` are of use here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from gmsdi_jax.convert.format import Format, Shapes
from gmsdi_jax.convert.names import CONV, LINEAR, POINTWISE, Layout, Rule
from gmsdi_jax.models import Pure, UNet1d, UNet1dConfig
from gmsdi_jax.types import Params

TRANSPOSED = Layout(lambda a: a.transpose(0, 2, 1), lambda a: a.transpose(0, 2, 1))
"""A transposed convolution [in, out, taps] to [in, taps, out]."""
PER_CHANNEL = Layout(lambda a: a[0, :, 0], lambda a: a[None, :, None])
"""A scale [1, features, 1] to [features]."""


@dataclass(frozen=True, kw_only=True)
class AdpConfig:
    """A published U-Net, and the size of its table for "no text"."""

    network: UNet1dConfig
    """Our configuration of it."""
    tokens: int | None = None
    """Rows of the table, one per token; None without one."""


def read_config(shapes: Shapes, told: Mapping[str, Any]) -> AdpConfig:
    """Our configuration, from the shapes under their names, and what cannot be read off those.

    Raises:
        ValueError: an array is missing or its sizes make no sense.
    """
    try:
        null = shapes.get("fixed_embedding.embedding.weight")
        return AdpConfig(network=_network(shapes, told), tokens=null[0] if null else None)
    except KeyError as error:
        raise ValueError(
            f"no U-Net of audio-diffusion-pytorch: {error.args[0]} is missing"
        ) from None


def _network(shapes: Shapes, told: Mapping[str, Any]) -> UNet1dConfig:
    old = "to_in.module_list.0.block.block1.project.weight" in shapes
    patch_blocks = _count(shapes, r"to_in\.module_list\.(\d+)\.") if old else 1
    first, last = (
        (f"to_in.module_list.{i}.block" if old else "to_in.block") for i in (0, patch_blocks - 1)
    )
    channels = 2 * shapes["to_time.0.0.weights"][0]
    levels = range(_count(shapes, r"downsamples\.(\d+)\."))
    shrink = [shapes[f"downsamples.{i}.downsample.weight"] for i in levels]
    widths = [shapes["downsamples.0.downsample.weight"][1], *(out for out, _, _ in shrink)]
    heads = told.get("attention_heads", 8)
    return UNet1dConfig(
        audio_channels=shapes[f"{first}.block1.groupnorm.weight"][0],
        text_features=_size(shapes, r".*cross_.*norm_context\.(g|weight)"),
        text_in="blocks" if old else "transformer",
        channels=channels,
        patch=widths[0] // shapes[f"{last}.block1.project.weight"][0],
        patch_blocks=patch_blocks,
        multipliers=tuple(width // channels for width in widths),
        factors=tuple(taps // 2 for _, _, taps in shrink),
        blocks=tuple(_count(shapes, rf"downsamples\.{i}\.blocks\.(\d+)\.") for i in levels),
        attentions=tuple(_transformers(shapes, f"downsamples.{i}", old) for i in levels),
        bottleneck_attentions=_transformers(shapes, "bottleneck", old),
        heads=heads,
        head_features=(_size(shapes, r".*\.to_q\.weight") or 64 * heads) // heads,
        groups=told.get("resnet_groups", 8),
    )


def _count(shapes: Shapes, pattern: str) -> int:
    """How many numbers the pattern's group takes among the names."""
    return len({match[1] for name in shapes if (match := re.match(pattern, name))})


def _size(shapes: Shapes, pattern: str) -> int | None:
    """The first axis of any array of such a name."""
    return next((s[0] for name, s in shapes.items() if re.fullmatch(pattern, name)), None)


def _transformers(shapes: Shapes, place: str, old: bool) -> int:
    if old:
        return int(any(re.match(rf"{place}\.(transformer\.)?attention\.", name) for name in shapes))
    return _count(shapes, rf"{place}\.transformer\.blocks\.(\d+)\.")


def shapes_of(config: AdpConfig) -> Params:
    """The arrays that our network, and our conditioner where there is text, want."""
    wanted: Params = {"network": Pure(lambda rngs: UNet1d(config.network, rngs=rngs)).shapes}
    if config.tokens is not None:
        size = config.tokens, config.network.text_features
        wanted["conditioner"] = {"null": jax.ShapeDtypeStruct(size, jnp.float32)}
    return wanted


def rules(config: AdpConfig) -> list[Rule]:
    """The names of one network, theirs and ours."""
    old = config.network.text_in == "blocks"
    place, number = ("module_list.{i}.block", "{i}") if old else ("block", "0")
    table = [
        Rule("fixed_embedding.embedding.weight", "conditioner.null"),
        Rule("to_time.0.0.weights", "network.time.weights"),
        *_dense("to_time.0.1", "network.time.enter"),
        *_dense("to_mapping.0", "network.time.first"),
        *_dense("to_mapping.2", "network.time.second"),
        *_dense("downsamples.{i}.downsample", "network.downs.{i}.shrink", CONV),
        *_block(f"to_in.{place}", f"network.enter.{number}"),
        *_block(f"to_out.{place}", f"network.leave.{number}"),
        *_block("bottleneck.pre_block", "network.bottleneck.before"),
        *_block("bottleneck.post_block", "network.bottleneck.after"),
        *_attention("bottleneck.attention.fn", "network.bottleneck.attention"),
    ]
    for i, factor in enumerate(reversed(config.network.factors)):
        grow = CONV if factor == 1 else TRANSPOSED
        table += _dense(f"upsamples.{i}.upsample", f"network.ups.{i}.grow", grow)
    for theirs, ours in (("downsamples.{i}", "downs.{i}"), ("upsamples.{i}", "ups.{i}")):
        table += _block(f"{theirs}.blocks.{{j}}", f"network.{ours}.blocks.{{j}}")
    transformer = _transformer if old else _text_transformer
    for theirs, ours in (
        ("downsamples.{i}", "downs.{i}"),
        ("upsamples.{i}", "ups.{i}"),
        ("bottleneck", "bottleneck"),
    ):
        table += transformer(f"{theirs}.transformer", f"network.{ours}.transformer")
    return table


def _dense(theirs: str, ours: str, kernel: Layout = LINEAR) -> list[Rule]:
    return [
        Rule(f"{theirs}.weight", f"{ours}.kernel", kernel),
        Rule(f"{theirs}.bias", f"{ours}.bias"),
    ]


def _norm(theirs: str, ours: str) -> list[Rule]:
    return [Rule(f"{theirs}.weight", f"{ours}.scale"), Rule(f"{theirs}.bias", f"{ours}.bias")]


def _block(theirs: str, ours: str) -> list[Rule]:
    """A residual block; what it hears of the text is there in 0.0.43 only."""
    return [
        *_norm(f"{theirs}.block1.groupnorm", f"{ours}.norm1"),
        *_dense(f"{theirs}.block1.project", f"{ours}.conv1", CONV),
        *_dense(f"{theirs}.to_scale_shift.to_scale_shift.1", f"{ours}.film"),
        *_attention(f"{theirs}.cross_attend.fn", f"{ours}.text", norm="norm_in"),
        *_norm(f"{theirs}.block2.groupnorm", f"{ours}.norm2"),
        *_dense(f"{theirs}.block2.project", f"{ours}.conv2", CONV),
        *_dense(f"{theirs}.to_out", f"{ours}.skip", POINTWISE),
    ]


def _attention(theirs: str, ours: str, norm: str = "norm") -> list[Rule]:
    """0.0.43's, without biases."""
    return [
        Rule(f"{theirs}.{norm}.g", f"{ours}.norm.scale"),
        Rule(f"{theirs}.norm_context.g", f"{ours}.norm_context.scale"),
        Rule(f"{theirs}.to_q.weight", f"{ours}.query.kernel", LINEAR),
        Rule(f"{theirs}.to_kv.weight", f"{ours}.key_value.kernel", LINEAR),
        Rule(f"{theirs}.attention.to_out.0.weight", f"{ours}.out.kernel", LINEAR),
        Rule(f"{theirs}.attention.to_out.1.g", f"{ours}.norm_out.scale"),
    ]


def _transformer(theirs: str, ours: str) -> list[Rule]:
    """0.0.43's."""
    return [
        *_attention(f"{theirs}.attention.fn", f"{ours}.attention"),
        Rule(f"{theirs}.feed_forward.0.g", f"{ours}.norm1.scale", PER_CHANNEL),
        Rule(f"{theirs}.feed_forward.1.weight", f"{ours}.up.kernel", POINTWISE),
        Rule(f"{theirs}.feed_forward.3.g", f"{ours}.norm2.scale", PER_CHANNEL),
        Rule(f"{theirs}.feed_forward.4.weight", f"{ours}.down.kernel", POINTWISE),
    ]


def _text_transformer(theirs: str, ours: str) -> list[Rule]:
    """0.0.97's."""
    block = f"{theirs}.blocks.{{b}}", f"{ours}.blocks.{{b}}"
    table = [
        *_norm(f"{theirs}.to_in.0", f"{ours}.norm"),
        *_dense(f"{theirs}.to_in.1", f"{ours}.enter", POINTWISE),
        *_dense(f"{theirs}.to_out.1", f"{ours}.leave", POINTWISE),
        *_dense(f"{block[0]}.feed_forward.0", f"{block[1]}.up"),
        *_dense(f"{block[0]}.feed_forward.2", f"{block[1]}.down"),
    ]
    for part, name in (("attention", "attention"), ("cross_attention", "text")):
        theirs, ours = f"{block[0]}.{part}", f"{block[1]}.{name}"
        table += [
            *_norm(f"{theirs}.norm", f"{ours}.norm"),
            *_norm(f"{theirs}.norm_context", f"{ours}.norm_context"),
            Rule(f"{theirs}.to_q.weight", f"{ours}.query.kernel", LINEAR),
            Rule(f"{theirs}.to_kv.weight", f"{ours}.key_value.kernel", LINEAR),
            *_dense(f"{theirs}.attention.to_out", f"{ours}.out"),
        ]
    return table


def _format(name: str, holds: str, prefixes: Sequence[str], first: str) -> Format:
    """`first` is what the first convolution's name begins with."""
    any_of = "|".join(map(re.escape, prefixes))
    bare = "" if prefixes == ("model.unet.",) else "?"
    return Format(
        name=name,
        holds=holds,
        marks=(
            rf"^({any_of}){bare}to_time\.0\.0\.weights$",
            rf"^({any_of}){bare}{re.escape(first)}\.block1\.project\.weight$",
        ),
        config=read_config,
        rules=rules,
        shapes=shapes_of,
        prefixes=tuple(prefixes),
        ignored=(r"^(model\.)?diffusion\..*",),
    )


OLD, NEW = "to_in.module_list.0.block", "to_in.block"
MSDM = _format("msdm", "the U-Net of a multi-source diffusion model", ("model.unet.",), OLD)
ADP_43 = _format("adp-0.0.43", "the U-Net of audio-diffusion-pytorch 0.0.43", ("unet.",), OLD)
ADP_97 = _format(
    "adp-0.0.97", "the U-Net of audio-diffusion-pytorch 0.0.97", ("model.unet.", "unet."), NEW
)
