"""Published T5s are read by their names and shapes alone, and come back bit for bit.

The names and shapes are those of the published modules' own state dicts, written by
`tests/parity/record_t5.py`.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from parity.t5_case import CONFIGS, module
from parity.weights import draw, openings

from gmsdi_jax.arrays import differences, flatten
from gmsdi_jax.convert.names import to_ours, to_theirs
from gmsdi_jax.convert.t5 import T5_ENCODER
from gmsdi_jax.models.t5 import T5Config

PUBLISHED = {
    "t5-small": T5Config(),
    "t5-v1_1-small": T5Config(layers=8, heads=6, hidden=1024, gated=True),
}
FILES = [name + part for name in PUBLISHED for part in ("", ", whole")]
COPY = "encoder.embed_tokens.weight"
RECORDED = Path(__file__).parents[1] / "parity" / "t5.npz"


@pytest.fixture(scope="module")
def recorded() -> dict[str, dict[str, tuple[int, ...]]]:
    """Names and shapes of each state dict."""

    def read(line: str) -> tuple[str, tuple[int, ...]]:
        name, shape = line.split(" ", 1)
        return name, tuple(json.loads(shape))

    with np.load(RECORDED) as file:
        keys = [key for key in file if key.startswith("names ")]
        return {key[6:]: dict(map(read, str(file[key]).splitlines())) for key in keys}


def ignored(name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in T5_ENCODER.ignored)


@pytest.mark.parametrize("file", FILES)
def test_published_sizes_are_read_off_the_arrays(file, recorded):
    """Without a config.json; the embeddings may have either name."""
    config = PUBLISHED[file.removesuffix(", whole")]
    shapes = recorded[file]
    assert T5_ENCODER.config(shapes, {}) == config
    for absent in ("shared.weight", COPY):
        rest = {name: shape for name, shape in shapes.items() if name != absent}
        assert T5_ENCODER.config(rest, {}) == config


@pytest.mark.parametrize("file", FILES)
def test_published_names_are_all_ours_or_ignored(file, recorded):
    """The decoder is ignored, the second name of the embeddings is a copy; bytes are numbers."""
    config = PUBLISHED[file.removesuffix(", whole")]
    theirs = {name: np.zeros(shape, np.uint8) for name, shape in recorded[file].items()}
    ours = to_ours(theirs, T5_ENCODER.rules(config))
    wanted = {name: leaf.shape for name, leaf in flatten(T5_ENCODER.shapes(config)).items()}
    assert not differences(ours.arrays, wanted)
    assert {name for name in ours.unknown if not ignored(name)} == {COPY}
    assert T5_ENCODER.copies == {COPY: "shared.weight"}
    assert not any(ignored(name) for name in theirs if name not in ours.unknown)
    assert all(any(re.fullmatch(mark, name) for name in theirs) for mark in T5_ENCODER.marks)


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_array_is_the_one_of_that_name(kind):
    """As they stood in transformers' encoder when its answers were recorded."""
    flat = {name: np.asarray(a) for name, a in flatten(draw(module(CONFIGS[kind]).shapes)).items()}
    theirs = to_theirs(flat, T5_ENCODER.rules(CONFIGS[kind]))
    with np.load(RECORDED) as file:
        expected = file[f"{kind}, openings"]
    assert len(np.unique(expected, axis=0)) == len(theirs)
    assert_allclose(openings(theirs | {COPY: theirs["shared.weight"]}), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", CONFIGS)
def test_weights_go_there_and_back(kind):
    """Bit for bit, in either order."""
    config = CONFIGS[kind]
    flat = {name: np.asarray(leaf) for name, leaf in flatten(draw(module(config).shapes)).items()}
    theirs = to_theirs(flat, T5_ENCODER.rules(config))
    again = to_ours(theirs, T5_ENCODER.rules(config))
    assert not again.unknown
    assert again.arrays.keys() == flat.keys()
    assert all(np.array_equal(again.arrays[name], flat[name]) for name in flat)
    back = to_theirs(again.arrays, T5_ENCODER.rules(config))
    assert all(np.array_equal(back[name], theirs[name]) for name in theirs)


def test_what_arrays_do_not_tell_comes_from_config_json(recorded):
    """The farthest distance and the epsilon; other values, such as a decoder's, do not matter."""
    values = {
        "relative_attention_max_distance": 256,
        "layer_norm_epsilon": 1e-5,
        "feed_forward_proj": "relu",
        "num_decoder_layers": 6,
    }
    config = T5_ENCODER.config(recorded["t5-small"], values)
    assert config == T5Config(max_distance=256, epsilon=1e-5)


@pytest.mark.parametrize(
    ("change", "values", "complaint"),
    [
        ({}, {"feed_forward_proj": "gated-gelu"}, "feed_forward_proj is gated-gelu"),
        ({}, {"feed_forward_proj": "gelu"}, "feed_forward_proj is gelu"),
        ({"encoder.block.0.layer.0.SelfAttention.q.weight": (510, 512)}, {}, "8 heads"),
        ({"shared.weight": None, COPY: None}, {}, "shared.weight is missing"),
        ({"encoder.block.0.layer.1.DenseReluDense.wi.weight": None}, {}, "wi.weight is missing"),
    ],
)
def test_other_networks_are_refused(change, values, complaint, recorded):
    """In one line that says why."""
    shapes = {name: s for name, s in (recorded["t5-small"] | change).items() if s is not None}
    with pytest.raises(ValueError, match=complaint):
        T5_ENCODER.config(shapes, values)


def test_a_bias_in_every_layer_is_not_overlooked(recorded):
    """UMT5 has one, and is another network: its arrays are unknown."""
    name = "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight"
    shapes = recorded["t5-small"] | {name: (32, 8)}
    theirs = {key: np.zeros(shape, np.uint8) for key, shape in shapes.items()}
    assert name in to_ours(theirs, T5_ENCODER.rules(T5Config())).unknown
    assert not ignored(name)
