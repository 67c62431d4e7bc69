"""Published CLAPs are read by their names and shapes alone, and come back bit for bit.

The names and shapes are those of the published modules' own state dicts, written by
`tests/parity/record_clap.py`.
"""

import json
import re
from math import prod
from pathlib import Path

import numpy as np
import pytest
from parity.clap_case import SMALL
from parity.weights import draw

from gmsdi_jax.arrays import differences, flatten
from gmsdi_jax.convert.clap import CLAP_HF, CLAP_LAION
from gmsdi_jax.convert.names import to_ours, to_theirs
from gmsdi_jax.models.clap import ClapConfig, HtsatConfig, RobertaConfig

NPZ = Path(__file__).parents[1] / "parity" / "clap.npz"
FORMATS = {"laion": CLAP_LAION, "hf": CLAP_HF}
# The whole config.json of laion/larger_clap_music, as far as sizes go: what is default is left out.
PUBLISHED = {
    "audio_config": {"depths": [2, 2, 12, 2], "hidden_size": 1024, "patch_embeds_hidden_size": 128},
    "projection_hidden_act": "relu",
    "text_config": {"model_type": "clap_text_model"},
}


@pytest.fixture(scope="module")
def recorded() -> dict[str, dict[str, tuple[int, ...]]]:
    """Names and shapes of each state dict."""

    def read(line: str) -> tuple[str, tuple[int, ...]]:
        name, shape = line.split(" ", 1)
        return name, tuple(json.loads(shape))

    with np.load(NPZ) as file:
        keys = [key for key in file if key.startswith("names ")]
        return {key[6:]: dict(map(read, str(file[key]).splitlines())) for key in keys}


def ignored(name: str, kind) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in kind.ignored)


def test_laions_checkpoint_is_the_default_configuration(recorded):
    """From shapes alone."""
    assert CLAP_LAION.config(recorded["laion"], {}) == ClapConfig()


def test_transformers_twin_differs_in_one_number(recorded):
    """Its text branch has the epsilon of transformers' default, which config.json does not name."""
    twin = ClapConfig(text=RobertaConfig(epsilon=1e-12))
    assert CLAP_HF.config(recorded["hf"], PUBLISHED) == twin
    assert CLAP_HF.config(recorded["hf"], {}) == twin


@pytest.mark.parametrize("name", FORMATS)
def test_published_names_are_all_ours_or_ignored(name, recorded):
    """At the published size; bytes stand for numbers."""
    kind, shapes = FORMATS[name], recorded[name]
    theirs = {key: np.zeros(shape, np.uint8) for key, shape in shapes.items()}
    ours = to_ours(theirs, kind.rules(ClapConfig()))
    wanted = {key: leaf.shape for key, leaf in flatten(kind.shapes(ClapConfig())).items()}
    assert not differences(ours.arrays, wanted)
    assert all(ignored(key, kind) for key in ours.unknown)
    assert not any(ignored(key, kind) for key in shapes if key not in ours.unknown)


def test_numbers_of_weights_are_the_published():
    """transformers counts two scales of the loss and not the 128 statistics of the batch norm."""
    shapes = CLAP_HF.shapes(ClapConfig())
    count = {
        part: sum(map(lambda a: prod(a.shape), flatten(shapes[part]).values())) for part in shapes
    }
    assert sum(count.values()) == 193_913_882 - 2 + 128
    assert count["audio_branch"] + count["audio_projection"] == 68_611_992
    assert count["text_branch"] + count["text_projection"] == 125_302_016


@pytest.mark.parametrize("name", FORMATS)
def test_weights_go_there_and_back(name, recorded, rng):
    """Every array that counts returns under its name, bit for bit."""
    kind = FORMATS[name]
    shapes = {key: s for key, s in recorded[f"{name}, small"].items() if not ignored(key, kind)}
    theirs = {key: rng.standard_normal(shape, np.float32) for key, shape in shapes.items()}
    ours = to_ours(theirs, kind.rules(SMALL))
    assert not ours.unknown
    back = to_theirs(ours.arrays, kind.rules(SMALL))
    assert back.keys() == theirs.keys()
    assert all(np.array_equal(back[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("name", FORMATS)
def test_each_weight_has_the_name_under_which_the_answers_agreed(name, recorded):
    """Two of one shape, such as query and key, are not exchanged: their last numbers tell."""
    kind, drawn = FORMATS[name], flatten(draw(CLAP_HF.shapes(SMALL)))
    theirs = to_theirs({key: np.asarray(leaf) for key, leaf in drawn.items()}, kind.rules(SMALL))
    with np.load(NPZ) as file:
        ends = dict(zip(recorded[f"{name}, small"], file[f"ends {name}"], strict=True))
    counts = {key: end for key, end in ends.items() if not ignored(key, kind)}
    assert {key: value.flat[-1] for key, value in theirs.items()} == counts


@pytest.mark.parametrize("name", FORMATS)
def test_small_networks_are_read_off_their_shapes(name, recorded):
    """All but the front end, and the text branch's heads, which only config.json tells."""
    values = {
        "audio_config": {"spec_size": SMALL.audio.side},
        "text_config": {"num_attention_heads": SMALL.text.heads, "layer_norm_eps": 1e-5},
    }
    config = FORMATS[name].config(recorded[f"{name}, small"], values)
    assert config.audio == SMALL.audio
    assert config.mel.bands == SMALL.mel.bands
    assert (config.text.vocabulary, config.text.features, config.text.mlp) == (50, 16, 32)
    assert (config.text.positions, config.text.layers, config.joint) == (20, 3, 12)
    assert config.text.heads == {"laion": 1, "hf": SMALL.text.heads}[name]
    assert config.mel.fft == {"laion": SMALL.mel.fft, "hf": 1024}[name]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_formats_are_told_apart(name, prefix, recorded):
    """By names alone, whatever the prefix."""
    names = [prefix + key for key in recorded[name]]
    for other, kind in FORMATS.items():
        known = all(any(re.fullmatch(mark, key) for key in names) for mark in kind.marks)
        assert known == (other == name)
    bare = [key for key in recorded[name] if ignored(key, FORMATS[name])]
    assert all(ignored(prefix + key, FORMATS[name]) for key in bare)


def test_what_old_checkpoints_also_hold_is_ignored():
    """A buffer of older transformers, and the networks' unused heads."""
    for name in (
        "module.text_branch.embeddings.position_ids",
        "audio_transform.sequential.0.weight",
        "module.audio_branch.tscam_conv.weight",
        "audio_branch.head.bias",
    ):
        assert ignored(name, CLAP_LAION)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"audio_branch.patch_embed.fusion_model.local_att.0.weight": (8, 8)}, "fuses features"),
        ({"text_branch.embeddings.token_type_embeddings.weight": (2, 768)}, "no RoBERTa"),
        (
            {"audio_branch.layers.2.blocks.11.attn.relative_position_bias_table": None},
            "even number",
        ),
        ({"audio_projection.0.weight": None}, "audio_projection.0.weight is missing"),
    ],
)
def test_other_networks_are_refused(change, complaint, recorded):
    """In one line that says which."""
    shapes = {key: s for key, s in (recorded["laion"] | change).items() if s is not None}
    with pytest.raises(ValueError, match=complaint):
        CLAP_LAION.config(shapes, {})


@pytest.mark.parametrize(
    "values",
    [
        {"audio_config": {"enable_fusion": True}},
        {"audio_config": {"layer_norm_eps": 1e-12}},
        {"text_config": {"hidden_act": "relu"}},
        {"projection_hidden_act": "gelu"},
    ],
)
def test_other_choices_in_config_json_are_refused(values, recorded):
    """Ours has what LAION's checkpoints have, and says so."""
    with pytest.raises(ValueError, match="LAION's checkpoints, and ours, have"):
        CLAP_HF.config(recorded["hf"], values)


def test_a_square_of_another_side_is_told_by_config_json(recorded):
    """No array of transformers' does."""
    config = CLAP_HF.config(recorded["hf"], {"audio_config": {"spec_size": 512}})
    assert config.audio == HtsatConfig(side=512)
