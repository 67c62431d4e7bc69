"""T5 as a function of words: a folder on disk, a prompt in, hidden states out."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from encoders.tiny import TINY_CLAP, TINY_T5, t5_folder
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.arrays import digest
from gmsdi_jax.encoders import PromptBook, T5Encoder, open_encoder, save_encoder
from gmsdi_jax.errors import ConfigError, UnavailableError
from gmsdi_jax.models import T5TextConfig
from gmsdi_jax.prompts import label_sets

TOKENS = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return t5_folder(tmp_path_factory.mktemp("encoders") / "t5")


@pytest.fixture(scope="module")
def t5(folder):
    return T5Encoder.from_folder(folder, TOKENS)


@pytest.fixture
def another(folder, tmp_path):
    """A copy to do damage to."""
    return shutil.copytree(folder, tmp_path / "t5")


def test_a_prompt_is_a_row_of_hidden_states(t5):
    """Of one length, float32, and different for different words."""
    text = t5(["Bass", "Drums", "a text that is longer than all the tokens that there are"])
    assert text.embedding.shape == (3, TOKENS, TINY_T5.features)
    assert text.mask.shape == (3, TOKENS)
    assert text.embedding.dtype == np.float32
    assert np.isfinite(text.embedding).all()
    assert np.abs(text.embedding[0] - text.embedding[1]).max() > 0.1


def test_order_of_words_is_heard(t5):
    """The same letters, the words exchanged."""
    one, other = t5(["a slow bass", "bass a slow"]).embedding
    assert np.abs(one - other).max() > 0.1


def test_padding_counts_unless_it_is_told_not_to(t5, folder):
    """``▁Bass</s>`` is six tokens. The states are the same either way."""
    masked = T5Encoder.from_folder(folder, TOKENS, attend_padding=False)
    prompts = ["Bass", "Bass, Drums and all that can be said of them"]
    whole, part = t5(prompts), masked(prompts)
    assert_array_equal(whole.mask, np.ones((2, TOKENS), bool))
    assert_array_equal(part.mask.sum(1), [6, TOKENS])
    assert part.mask[0, :6].all()
    assert_array_equal(whole.embedding, part.embedding)


def test_padding_does_not_change_what_is_said(t5, folder):
    """T5 itself does not see it: of a shorter row the states are the same."""
    shorter = T5Encoder.from_folder(folder, 8)(["Bass"]).embedding[0]
    assert_allclose(t5(["Bass"]).embedding[0, :8], shorter, atol=1e-5)


@pytest.mark.parametrize("attend", [True, False])
def test_nothing_counts_of_an_empty_prompt(attend, folder):
    """Spaces are empty too; the states are numbers all the same."""
    text = T5Encoder.from_folder(folder, TOKENS, attend)(["", "Bass", "  "])
    assert_array_equal(text.mask.any(1), [False, True, False])
    assert np.isfinite(text.embedding).all()


@pytest.mark.parametrize("rows", [1, 2, 8, 9, 17])
def test_a_row_is_the_same_whatever_its_neighbours(rows, t5):
    """However many there are, and wherever it stands among them."""
    alone = t5(["Guitar, Piano"])
    prompts = [f"neighbour {'abcdefghijklmnopq'[i]}" for i in range(rows)]
    prompts[-1] = "Guitar, Piano"
    text = t5(prompts)
    assert len(text.embedding) == len(text.mask) == rows
    assert_allclose(text.embedding[-1], alone.embedding[0], atol=1e-6)
    assert_array_equal(text.mask[-1], alone.mask[0])


def test_digest_is_that_of_the_weights(t5, folder, another, tmp_path):
    """The same weights at another place, the same digest; other weights, another."""
    assert t5.digest == digest(folder / "model.safetensors")
    assert T5Encoder.from_folder(another).digest == t5.digest
    assert T5Encoder.from_folder(t5_folder(tmp_path / "new", seed=1)).digest != t5.digest


def test_book_of_labels_holds_its_answers(t5, tmp_path):
    """Sixteen texts for four labels, and afterwards without the encoder."""
    labels = T5TextConfig.labels
    PromptBook.of_labels(t5, labels).save(tmp_path / "book")
    book = PromptBook.load(tmp_path / "book")
    prompts = label_sets(labels)
    assert book.digest == t5.digest
    assert len(prompts) == 16
    assert_allclose(book(prompts).embedding, t5(prompts).embedding, atol=1e-6)
    assert_array_equal(book(prompts).mask.any(1), [bool(prompt) for prompt in prompts])
    flat = book(prompts).embedding.reshape(16, -1)
    assert np.abs(flat[:, None] - flat[None]).max(-1)[~np.eye(16, dtype=bool)].min() > 0.1


def test_models_open_the_encoder_of_their_size(folder):
    """With their own number of tokens and rule of padding; another size is refused."""
    sizes = T5TextConfig(features=TINY_T5.features, tokens=8, attend_padding=False)
    text = open_encoder(sizes, folder)(["Bass"])
    assert text.embedding.shape == (1, 8, TINY_T5.features)
    assert text.mask.sum() == 6
    with pytest.raises(ConfigError, match="answers with 8 numbers, where the model reads 512"):
        open_encoder(T5TextConfig(), folder)


def test_missing_files_are_named(another):
    """The tokenizer first, then the weights, then all of it; exit code 4."""
    (another / "tokenizer.json").unlink()
    with pytest.raises(UnavailableError, match=r"t5: no tokenizer\.json") as error:
        T5Encoder.from_folder(another)
    assert error.value.exit_code == 4
    (another / "model.safetensors").unlink()
    with pytest.raises(UnavailableError, match=r"model\.safetensors: missing"):
        T5Encoder.from_folder(another)
    (another / "config.json").unlink()
    with pytest.raises(UnavailableError, match="no encoder here; make one with gmsdi convert"):
        T5Encoder.from_folder(another)


def test_damaged_weights_are_refused(another):
    """Cut off while they were copied."""
    weights = another / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UnavailableError, match=r"model\.safetensors: damaged or unreadable"):
        T5Encoder.from_folder(another)


def test_weights_of_another_size_are_refused(another, tmp_path):
    """The message says which array has which shape."""
    wider = t5_folder(tmp_path / "wider", replace(TINY_T5, hidden=16))
    (another / "model.safetensors").write_bytes((wider / "model.safetensors").read_bytes())
    with pytest.raises(UnavailableError, match=r"down\.kernel has shape \(2, 16, 8\), not"):
        T5Encoder.from_folder(another)


def test_another_kind_of_encoder_is_refused(tmp_path):
    """By name, before its weights are looked at."""
    save_encoder(tmp_path, TINY_CLAP, {})
    with pytest.raises(ConfigError, match="holds clap, where t5 is needed"):
        T5Encoder.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"kind": "t6"}, "does not describe an encoder .*'t6'"),
        ({"depth": 3}, "does not describe an encoder .*'depth'"),
        ({"buckets": 7}, "does not describe an encoder .*7 buckets"),
    ],
)
def test_invalid_configurations_are_refused(change, complaint, another):
    """What published models have instead of ours is one, too."""
    path = another / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match=complaint):
        T5Encoder.from_folder(another)
