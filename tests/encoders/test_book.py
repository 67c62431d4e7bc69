"""What an encoder answered, kept beside a model."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gmsdi_jax.encoders import PromptBook
from gmsdi_jax.errors import ConfigError, UnavailableError
from gmsdi_jax.prompts import label_sets, tokenize
from gmsdi_jax.types import Batch, Text

LABELS = ("Bass", "Drums", "Guitar")


class Letters:
    """An encoder whose embedding of a prompt is its letters, so that no two are alike."""

    digest = "a" * 64

    def __init__(self):
        self.asked = []

    def __call__(self, prompts):
        self.asked += prompts
        codes = np.zeros((len(prompts), 30, 2), np.float32)
        for row, prompt in zip(codes, prompts, strict=True):
            row[: len(prompt), 0] = [ord(letter) for letter in prompt]
        mask = np.broadcast_to([[bool(p)] for p in prompts], codes.shape[:2])
        return Text(codes, mask)


@pytest.fixture
def letters():
    return Letters()


def test_all_sets_are_asked_for_once(letters):
    """Eight texts for three labels, in one call; afterwards the encoder is not needed."""
    book = PromptBook.of_labels(letters, LABELS)
    assert letters.asked == label_sets(LABELS)
    direct = Letters()(["Bass, Guitar", ""])
    looked_up = book(["Bass, Guitar", ""])
    assert_array_equal(looked_up.embedding, direct.embedding)
    assert_array_equal(looked_up.mask, direct.mask)
    assert not looked_up.mask[1].any()
    assert letters.asked == label_sets(LABELS)


def test_book_survives_the_disk(tmp_path, letters):
    """Prompts with any characters, their masks, and whose answers they are."""
    book = PromptBook.of_labels(letters, LABELS)
    book(["A violin. Slow, in 3/4!"])
    book.save(tmp_path / "prompts.safetensors")
    again = PromptBook.load(tmp_path / "prompts.safetensors")
    prompts = ["A violin. Slow, in 3/4!", "Drums", ""]
    for one, other in zip(again(prompts), book(prompts), strict=True):
        assert_array_equal(one, other)
    assert again.digest == letters.digest


def test_other_words_need_the_encoder(tmp_path, letters):
    """Without one, the message names the prompt, the flag, and what can be asked; exit code 4."""
    PromptBook.of_labels(letters, LABELS).save(tmp_path / "book")
    alone = PromptBook.load(tmp_path / "book")
    with pytest.raises(UnavailableError, match=r"'a violin'.*--encoder.*'Bass, Drums'") as error:
        alone(["Bass", "a violin"])
    assert error.value.exit_code == 4
    both = PromptBook.load(tmp_path / "book", letters)
    assert_array_equal(both(["a violin"]).embedding, Letters()(["a violin"]).embedding)


def test_another_encoder_is_refused(tmp_path, letters):
    """Answers of two encoders are never mixed."""
    PromptBook.of_labels(letters, LABELS).save(tmp_path / "book")
    stranger = Letters()
    stranger.digest = "b" * 64
    with pytest.raises(ConfigError, match=r"bbbbbbbbbbbb.*is not the one.*aaaaaaaaaaaa"):
        PromptBook.load(tmp_path / "book", stranger)


def test_without_a_file_there_is_an_empty_book(tmp_path, letters):
    """A model that was saved without its prompts asks its encoder for all of them."""
    book = PromptBook.load(tmp_path / "none", letters)
    assert_array_equal(book(["Bass"]).embedding, Letters()(["Bass"]).embedding)
    with pytest.raises(UnavailableError, match="reads no text"):
        PromptBook.load(tmp_path / "none")(["Bass"])


def test_damaged_book_is_named(tmp_path, letters):
    """A file of something else is no book."""
    from gmsdi_jax.arrays import save_arrays

    save_arrays(tmp_path / "book", {"embedding": np.zeros((2, 3, 4))}, metadata={"prompts": "[]"})
    with pytest.raises(UnavailableError, match="book: is no book of prompts"):
        PromptBook.load(tmp_path / "book")


def test_labels_of_a_batch_become_the_text_of_their_set(letters):
    """Row by row the embedding of the spelled set; rows without labels have no text."""
    book = PromptBook.of_labels(letters, LABELS)
    prompts = ["Guitar", "", "Bass, Drums, Guitar", "Drums"]
    audio = np.zeros((4, 16, 1), np.float32)
    batch = book.of_sets(LABELS)(Batch(audio, audio, tokenize(prompts, LABELS)))
    expected = Letters()(prompts)
    assert_array_equal(batch.prompt.embedding, expected.embedding)
    assert_array_equal(batch.prompt.mask, expected.mask)
    assert batch.audio is audio
