"""What users write: sets of labels, or words."""

import numpy as np
import pytest

from gmsdi_jax.errors import ConfigError
from gmsdi_jax.prompts import label_sets, presence, spell

LABELS = ("Bass", "Drums", "Guitar", "Piano")


@pytest.mark.parametrize("prompt", ["Drums, Bass", "bass,DRUMS", " bass , drums ,, bass "])
def test_labels_have_one_spelling(prompt):
    """Case, order, spaces and repetition fall away: the encoder hears one string per set."""
    assert spell(prompt, LABELS) == "Bass, Drums"


@pytest.mark.parametrize("prompt", ["a slow piano", "Bass, and a voice", "Zither, Bass"])
def test_words_are_left_alone(prompt):
    """One part that is no label makes the prompt words, of which only the ends are trimmed."""
    assert spell(f"  {prompt} ", LABELS) == prompt


def test_no_text_is_no_text():
    """Spaces and commas alone are the empty prompt."""
    assert {spell(prompt, LABELS) for prompt in ("", "  ", ",", " , ,")} == {""}


def test_set_number_is_its_bits():
    """Sets are numbered by presence, so that a presence vector finds its text."""
    sets = label_sets(LABELS)
    assert len(sets) == len(set(sets)) == 16
    assert (sets[0], sets[1], sets[0b1010], sets[15]) == (
        "",
        "Bass",
        "Drums, Piano",
        "Bass, Drums, Guitar, Piano",
    )
    bits = presence(sets, LABELS) @ (1 << np.arange(4))
    np.testing.assert_array_equal(bits, np.arange(16))


def test_unknown_names_are_refused_where_only_labels_count():
    """Presence is of labels alone."""
    with pytest.raises(ConfigError, match=r"'zither' is unknown"):
        presence(["Bass", "Bass, zither"], LABELS)
