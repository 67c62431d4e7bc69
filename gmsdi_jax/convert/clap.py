"""CLAP's published names: LAION's checkpoints and transformers' `ClapModel`.

LAION's ``.pt`` files hold, below ``module.``, an HTSAT whose query, key and value are one matrix, a
RoBERTa where they are three, and buffers that can be computed. transformers renames HTSAT's layers
and splits its matrices too. Checkpoints with feature fusion, and other encoders than HTSAT and
RoBERTa, are refused by name.

What no array tells (sample rate, hop, the range of the mel bands) is the same in all of LAION's
checkpoints, and is `MelConfig`'s default.
"""

from collections.abc import Mapping, Sequence
from itertools import count, takewhile
from typing import Any, NamedTuple

from gmsdi_jax.convert.format import Format, Shapes
from gmsdi_jax.convert.names import LINEAR, Layout, Rule
from gmsdi_jax.models.clap import Clap, ClapConfig, HtsatConfig, MelConfig, RobertaConfig
from gmsdi_jax.models.pure import Pure
from gmsdi_jax.types import Params


class _Htsat(NamedTuple):
    """What one publisher calls the parts of HTSAT."""

    root: str
    bands: str
    norm1: str
    table: str
    qkv: str | tuple[str, ...]
    out: str
    norm2: str
    up: str
    down: str


_LAION = _Htsat(
    root="audio_branch",
    bands="bn0",
    norm1="norm1",
    table="attn.relative_position_bias_table",
    qkv="attn.qkv",
    out="attn.proj",
    norm2="norm2",
    up="mlp.fc1",
    down="mlp.fc2",
)
_HF = _Htsat(
    root="audio_model.audio_encoder",
    bands="batch_norm",
    norm1="layernorm_before",
    table="attention.self.relative_position_bias_table",
    qkv=("attention.self.query", "attention.self.key", "attention.self.value"),
    out="attention.output.dense",
    norm2="layernorm_after",
    up="intermediate.dense",
    down="output.dense",
)


def laion_rules(config: ClapConfig) -> list[Rule]:
    """The names of LAION's state dict, without ``module.``."""
    return [
        *_htsat(_LAION, config.audio.patch),
        *_roberta("text_branch"),
        *_linear("audio_projection.0", "audio_projection.first"),
        *_linear("audio_projection.2", "audio_projection.second"),
        *_linear("text_projection.0", "text_projection.first"),
        *_linear("text_projection.2", "text_projection.second"),
    ]


def hf_rules(config: ClapConfig) -> list[Rule]:
    """The names of transformers' `ClapModel`."""
    return [
        *_htsat(_HF, config.audio.patch),
        *_roberta("text_model"),
        *_linear("audio_projection.linear1", "audio_projection.first"),
        *_linear("audio_projection.linear2", "audio_projection.second"),
        *_linear("text_projection.linear1", "text_projection.first"),
        *_linear("text_projection.linear2", "text_projection.second"),
    ]


def _htsat(names: _Htsat, patch: int) -> list[Rule]:
    root, bands = names.root, f"{names.root}.{names.bands}"
    block, layer = f"{root}.layers.{{s}}.blocks.{{i}}", "audio_branch.stages.{s}.layers[{i}]"
    several = (names.qkv,) if isinstance(names.qkv, str) else names.qkv
    patches = Layout(
        lambda a: a.reshape(len(a), patch**2).T, lambda a: a.T.reshape(-1, 1, patch, patch)
    )
    return [
        *_norm(bands, "audio_branch.norm_bands"),
        Rule(f"{bands}.running_mean", "audio_branch.norm_bands.mean"),
        Rule(f"{bands}.running_var", "audio_branch.norm_bands.variance"),
        Rule(f"{root}.patch_embed.proj.weight", "audio_branch.embed.kernel", patches),
        Rule(f"{root}.patch_embed.proj.bias", "audio_branch.embed.bias"),
        *_norm(f"{root}.patch_embed.norm", "audio_branch.norm_tokens"),
        *_norm(f"{block}.{names.norm1}", f"{layer}.norm1"),
        Rule(f"{block}.{names.table}", f"{layer}.attention.table"),
        *_linear(tuple(f"{block}.{name}" for name in several), f"{layer}.attention.qkv"),
        *_linear(f"{block}.{names.out}", f"{layer}.attention.out"),
        *_norm(f"{block}.{names.norm2}", f"{layer}.norm2"),
        *_linear(f"{block}.{names.up}", f"{layer}.up"),
        *_linear(f"{block}.{names.down}", f"{layer}.down"),
        *_norm(f"{root}.layers.{{s}}.downsample.norm", "audio_branch.stages.{s}.merge.norm"),
        Rule(
            f"{root}.layers.{{s}}.downsample.reduction.weight",
            "audio_branch.stages.{s}.merge.reduce.kernel",
            LINEAR,
        ),
        *_norm(f"{root}.norm", "audio_branch.norm"),
    ]


def _roberta(root: str) -> list[Rule]:
    table, layer = f"{root}.embeddings", f"{root}.encoder.layer.{{i}}"
    attention, ours = f"{layer}.attention", "text_branch.layers[{i}]"
    return [
        Rule(f"{table}.word_embeddings.weight", "text_branch.words.embedding"),
        Rule(f"{table}.position_embeddings.weight", "text_branch.positions.embedding"),
        Rule(f"{table}.token_type_embeddings.weight", "text_branch.types.embedding"),
        *_norm(f"{table}.LayerNorm", "text_branch.norm"),
        *_linear(tuple(f"{attention}.self.{x}" for x in ("query", "key", "value")), f"{ours}.qkv"),
        *_linear(f"{attention}.output.dense", f"{ours}.out"),
        *_norm(f"{attention}.output.LayerNorm", f"{ours}.norm1"),
        *_linear(f"{layer}.intermediate.dense", f"{ours}.up"),
        *_linear(f"{layer}.output.dense", f"{ours}.down"),
        *_norm(f"{layer}.output.LayerNorm", f"{ours}.norm2"),
        *_linear(f"{root}.pooler.dense", "text_branch.pool"),
    ]


def _linear(theirs: str | tuple[str, ...], ours: str) -> list[Rule]:
    several = (theirs,) if isinstance(theirs, str) else theirs
    weights, biases = (tuple(f"{name}.{part}" for name in several) for part in ("weight", "bias"))
    return [Rule(weights, f"{ours}.kernel", LINEAR), Rule(biases, f"{ours}.bias")]


def _norm(theirs: str, ours: str) -> list[Rule]:
    return [Rule(f"{theirs}.weight", f"{ours}.scale"), Rule(f"{theirs}.bias", f"{ours}.bias")]


def laion_config(shapes: Shapes, values: Mapping[str, Any]) -> ClapConfig:
    """Sizes from the arrays; where buffers are there, they tell the sides of square and FFT."""
    del values  # LAION publishes none
    _refuse_fusion(shapes)
    audio, bands = _htsat_config(shapes, _LAION)
    stft = shapes.get("audio_branch.spectrogram_extractor.stft.conv_real.weight")
    fft = MelConfig.fft if stft is None else stft[-1]
    text = _roberta_config(shapes, "text_branch", {"layer_norm_eps": RobertaConfig.epsilon})
    return _config(shapes, "audio_projection.0.weight", audio, text, bands, fft)


def hf_config(shapes: Shapes, values: Mapping[str, Any]) -> ClapConfig:
    """Sizes from the arrays, the rest from config.json.

    What that leaves out is transformers' default: the text branch's epsilon is then 1e-12, not the
    1e-5 that LAION trained with. So it is with ``laion/larger_clap_music``.
    """
    _refuse_fusion(shapes)
    audio, text = values.get("audio_config") or {}, values.get("text_config") or {}
    for config, key, only in (
        (audio, "enable_fusion", False),
        (audio, "hidden_act", "gelu"),
        (audio, "layer_norm_eps", 1e-5),
        (text, "hidden_act", "gelu"),
        (values, "projection_hidden_act", "relu"),
    ):
        if config.get(key, only) != only:
            raise ValueError(f"{key} {config[key]}: LAION's checkpoints, and ours, have {only}")
    branch, bands = _htsat_config(shapes, _HF, audio.get("spec_size", HtsatConfig.side))
    written = _roberta_config(shapes, "text_model", {"layer_norm_eps": 1e-12, **text})
    name = "audio_projection.linear1.weight"
    return _config(shapes, name, branch, written, bands, MelConfig.fft)


def _config(
    shapes: Shapes, joint: str, audio: HtsatConfig, text: RobertaConfig, bands: int, fft: int
) -> ClapConfig:
    standard = MelConfig()
    # No longer than fills the square: only networks smaller than the published ones are shortened.
    clip = min(standard.clip, standard.hop * (audio.side**2 // bands - 1))
    mel = MelConfig(clip=clip, bands=bands, fft=fft)
    return ClapConfig(mel=mel, audio=audio, text=text, joint=_shape(shapes, joint)[0])


def _htsat_config(
    shapes: Shapes, names: _Htsat, side: int = HtsatConfig.side
) -> tuple[HtsatConfig, int]:
    """The audio branch and its number of mel bands; `side` where no mask of windows tells it."""
    stages = f"{names.root}.layers"
    depths = [
        _count(shapes, f"{stages}.{stage}.blocks.{{}}.{names.table}")
        for stage in range(_count(shapes, f"{stages}.{{}}.blocks.0.{names.table}"))
    ]
    tables = [_shape(shapes, f"{stages}.{s}.blocks.0.{names.table}") for s in range(len(depths))]
    features, _, patch, _ = _shape(shapes, f"{names.root}.patch_embed.proj.weight")
    rows = _shape(shapes, f"{stages}.0.blocks.0.{names.table}")[0]
    window = (round(rows**0.5) + 1) // 2
    mask = shapes.get(f"{stages}.0.blocks.1.attn_mask")
    if mask is not None:
        side = patch * window * round(mask[0] ** 0.5)
    config = HtsatConfig(
        side=side,
        patch=patch,
        features=features,
        depths=tuple(depths),
        heads=tuple(heads for _, heads in tables),
        window=window,
        mlp=_shape(shapes, f"{stages}.0.blocks.0.{names.up}.weight")[0] // features,
    )
    return config, _shape(shapes, f"{names.root}.{names.bands}.weight")[0]


def _roberta_config(shapes: Shapes, root: str, values: Mapping[str, Any]) -> RobertaConfig:
    table = f"{root}.embeddings"
    vocabulary, features = _shape(shapes, f"{table}.word_embeddings.weight")
    types = _shape(shapes, f"{table}.token_type_embeddings.weight")[0]
    if types != 1:
        raise ValueError(f"{types} token types: this text branch is no RoBERTa, which has 1")
    return RobertaConfig(
        vocabulary=vocabulary,
        positions=_shape(shapes, f"{table}.position_embeddings.weight")[0],
        features=features,
        layers=_count(shapes, f"{root}.encoder.layer.{{}}.output.dense.weight"),
        # Heads of 64 features, as in every RoBERTa that was published.
        heads=values.get("num_attention_heads", max(1, features // 64)),
        mlp=_shape(shapes, f"{root}.encoder.layer.0.intermediate.dense.weight")[0],
        epsilon=values["layer_norm_eps"],
        pad=values.get("pad_token_id", RobertaConfig.pad),
    )


def _refuse_fusion(shapes: Shapes) -> None:
    fused = [name for name in shapes if ".fusion_model." in name or ".mel_conv" in name]
    if fused:
        raise ValueError(
            f"{min(fused)}: this checkpoint fuses features of long audio; take one without"
        )


def _shape(shapes: Shapes, name: str) -> tuple[int, ...]:
    if name not in shapes:
        raise ValueError(f"{name} is missing")
    return shapes[name]


def _count(shapes: Shapes, pattern: str) -> int:
    """How many numbers, from 0 on without a gap, make a name of the pattern."""
    return sum(1 for _ in takewhile(lambda i: pattern.format(i) in shapes, count()))


def shapes_of(config: ClapConfig) -> Params:
    """The shapes of our CLAP's weights."""
    return Pure(lambda rngs: Clap(config, rngs=rngs)).shapes


_UNUSED: Sequence[str] = (
    r"(.*\.)?logit_scale_[at]",  # of the training loss
    r".*\.num_batches_tracked",
    r".*\.relative_position_index",
    r".*\.(position_ids|token_type_ids)",
)
CLAP_LAION = Format(
    name="clap-laion",
    holds="CLAP, as LAION publishes it",
    marks=(
        r".*audio_branch\.layers\.0\.blocks\.0\.attn\.qkv\.weight",
        r".*text_branch\.encoder\.layer\.0\.attention\.self\.query\.weight",
    ),
    config=laion_config,
    rules=laion_rules,
    shapes=shapes_of,
    prefixes=("module.",),
    ignored=(
        *_UNUSED,
        r".*audio_branch\.(spectrogram_extractor|logmel_extractor|tscam_conv|head)\..*",
        r"(.*\.)?attn_mask",
        r"(.*\.)?(audio|text)_transform\..*",
    ),
)
CLAP_HF = Format(
    name="clap-hf",
    holds="CLAP, as transformers names it",
    marks=(
        r".*audio_model\.audio_encoder\.layers\.0\.blocks\.0\.attention\.self\.query\.weight",
        r".*text_model\.encoder\.layer\.0\.attention\.self\.query\.weight",
    ),
    config=hf_config,
    rules=hf_rules,
    shapes=shapes_of,
    ignored=(*_UNUSED,),
)
