"""Prompts as sets of labels."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from numpy.testing import assert_array_equal

from gmsdi_jax.errors import ConfigError
from gmsdi_jax.models import Tags, TagsConfig
from gmsdi_jax.prompts import tokenize
from gmsdi_jax.types import Tokens

LABELS = ("Bass", "Drums", "Guitar", "Piano")


def test_prompts_become_presence():
    """One row per prompt, one column per label, in the order of the labels."""
    tokens = tokenize(["Bass", "Guitar, Piano", ""], LABELS)
    expected = [[1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]
    assert_array_equal(tokens.mask, np.array(expected, bool))
    assert_array_equal(tokens.ids, np.tile(np.arange(4), (3, 1)))
    assert (tokens.ids.dtype, tokens.mask.dtype) == (np.int32, bool)


def test_case_order_and_spaces_do_not_matter():
    """All spellings of a set are one prompt; an empty part is no label."""
    spellings = ["Bass, Drums", "drums,bass", " DRUMS ,  bass", "Bass,,Drums,", "bass,drums,bass"]
    mask = np.asarray(tokenize(spellings, LABELS).mask)
    assert_array_equal(mask, np.tile([True, True, False, False], (5, 1)))


def test_unknown_label_names_the_nearest():
    """A typing error is answered with the label that was meant, and with all that there are."""
    with pytest.raises(ConfigError, match=r"'gitar'.*Did you mean 'Guitar'\?.*Bass, Drums, Guitar"):
        tokenize(["Bass, gitar"], LABELS)
    with pytest.raises(ConfigError, match=r"'zither' is unknown") as error:
        tokenize(["zither"], LABELS)
    assert "mean" not in str(error.value)


def test_null_counts_only_where_no_token_does():
    """The last token is the null: it counts in the row without labels and in no other."""
    tags = Tags(TagsConfig(features=3), rngs=nnx.Rngs(0))
    text = tags(tokenize(["", "Drums", "Bass, Piano"], LABELS))
    expected = [[0, 0, 0, 0, 1], [0, 1, 0, 0, 0], [1, 0, 0, 1, 0]]
    assert_array_equal(text.mask, np.array(expected, bool))
    table = tags.table.embedding[...]
    assert table.shape == (5, 3)
    assert_array_equal(text.embedding, np.broadcast_to(table, (3, 5, 3)))


def test_tokens_may_come_in_any_order():
    """A token's embedding is its own, wherever it stands in the row."""
    tags = Tags(TagsConfig(features=3), rngs=nnx.Rngs(0))
    ids = jnp.asarray([[2, 0]], jnp.int32)
    text = tags(Tokens(ids, jnp.asarray([[True, False]])))
    assert_array_equal(text.embedding[0], tags.table.embedding[...][jnp.array([2, 0, 4])])
    assert_array_equal(text.mask, [[True, False, False]])
