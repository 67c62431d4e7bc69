"""What an encoder's ``tokenizer.json`` makes of words, and which of them are refused."""

import json

import numpy as np
import pytest
from encoders.tiny import roberta_tokenizer, t5_tokenizer
from numpy.testing import assert_array_equal
from tokenizers import ByteLevelBPETokenizer

from gmsdi_jax.encoders.tokenizer import load_tokenizer, save_tokenizer
from gmsdi_jax.errors import ConfigError, UnavailableError

T5 = {"pad": 0, "vocabulary": 65}
ROBERTA = {"pad": 1, "vocabulary": 66}


@pytest.fixture
def t5(tmp_path):
    t5_tokenizer(tmp_path / "t5")
    return tmp_path / "t5"


@pytest.fixture
def roberta(tmp_path):
    roberta_tokenizer(tmp_path / "roberta")
    return tmp_path / "roberta"


def test_t5_opens_words_with_a_space_and_closes_texts(t5):
    """``▁`` is 3, letters follow; ``</s>`` is 1, padding 0; an unknown letter 2."""
    ids, mask = load_tokenizer(t5, 8, **T5)(["a b", "", "é"])
    assert_array_equal(ids[0], [3, 4, 3, 5, 1, 0, 0, 0])
    assert_array_equal(ids[1], [1, 0, 0, 0, 0, 0, 0, 0])
    assert_array_equal(ids[2], [3, 2, 1, 0, 0, 0, 0, 0])
    assert_array_equal(mask.sum(1), [5, 1, 3])
    assert (mask[:, 1:] <= mask[:, :-1]).all()
    assert ids.dtype == np.int32


def test_roberta_opens_and_closes_texts(roberta):
    """``<s>`` is 0, ``</s>`` 2, padding 1; a space, 4, stands between words only."""
    ids, mask = load_tokenizer(roberta, 8, **ROBERTA)(["a b", ""])
    assert_array_equal(ids, [[0, 5, 4, 6, 2, 1, 1, 1], [0, 2, 1, 1, 1, 1, 1, 1]])
    assert_array_equal(mask.sum(1), [5, 2])


def test_long_texts_are_cut_before_the_end_token(t5, roberta):
    """Whose number is still the last one."""
    ids, mask = load_tokenizer(t5, 5, **T5)(["abcdefgh", "a"])
    assert_array_equal(ids, [[3, 4, 5, 6, 1], [3, 4, 1, 0, 0]])
    assert_array_equal(mask.sum(1), [5, 3])
    assert_array_equal(load_tokenizer(roberta, 4, **ROBERTA)(["abcdefgh"]).ids, [[0, 5, 6, 2]])


def test_only_one_file_is_read(t5):
    """Neither a file that says which class to use, nor transformers' configuration."""
    (t5 / "tokenizer_config.json").write_text("{}")
    (t5 / "config.json").write_text('{"kind": "t5"}')
    assert_array_equal(load_tokenizer(t5, 3, **T5)(["a"]).ids, [[3, 4, 1]])


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "length"), [("t5", 9), ("roberta", 7)])
def test_transformers_reads_the_same_folder(kind, length, request):
    """Its numbers are ours. Slow only because it takes seconds to import."""
    transformers = pytest.importorskip("transformers")
    folder = request.getfixturevalue(kind)
    prompts = ["Bass, Drums", "", "no!", "a b"]
    theirs = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)(
        prompts, padding="max_length", truncation=True, max_length=length
    )
    ours = load_tokenizer(folder, length, **{"t5": T5, "roberta": ROBERTA}[kind])(prompts)
    assert_array_equal(ours.ids, theirs["input_ids"])
    assert_array_equal(ours.mask, theirs["attention_mask"])


def test_missing_and_damaged_files_are_named(tmp_path, t5):
    """In one line that says what to do."""
    with pytest.raises(UnavailableError, match=r"no tokenizer\.json; copy it there"):
        load_tokenizer(tmp_path, 8, **T5)
    (t5 / "tokenizer.json").write_text((t5 / "tokenizer.json").read_text()[:-30])
    with pytest.raises(UnavailableError, match=r"tokenizer\.json: cannot be read"):
        load_tokenizer(t5, 8, **T5)


def test_tokenizers_of_other_encoders_are_refused(t5, roberta):
    """By the number of their padding, or because a number has no embedding."""
    with pytest.raises(ConfigError, match=r"<pad> is 0 .* largest number 64, .* has 1 and 65"):
        load_tokenizer(t5, 8, **ROBERTA)
    with pytest.raises(ConfigError, match="<pad> is 1"):
        load_tokenizer(roberta, 8, pad=0, vocabulary=32128)
    with pytest.raises(ConfigError, match="largest number 64, where this one has 0 and 63"):
        load_tokenizer(t5, 8, pad=0, vocabulary=64)


def test_published_files_of_another_kind_become_the_one(tmp_path):
    """vocab.json and merges.txt, as RoBERTa has them: the same pieces, opened and closed."""
    published, ours = tmp_path / "published", tmp_path / "ours"
    published.mkdir()
    ours.mkdir()
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(["a slow piano", "bass"], vocab_size=270, special_tokens=pieces)
    trained.save_model(str(published))
    about = {"tokenizer_class": "RobertaTokenizer"}
    (published / "tokenizer_config.json").write_text(json.dumps(about))
    save_tokenizer(published, ours)
    ids, mask = load_tokenizer(ours, 20, pad=1, vocabulary=270)(["a slow piano"])
    inner = trained.encode("a slow piano").ids
    assert ids[0].tolist() == [0, *inner, 2] + [1] * (18 - len(inner))
    assert mask[0].sum() == len(inner) + 2
