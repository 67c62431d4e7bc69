"""A model that reads words: what its prompts become, what covers the mixture, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.build import Model
from gmsdi_jax.config import ModelConfig
from gmsdi_jax.encoders import BOOK, PromptBook
from gmsdi_jax.errors import ConfigError, UnavailableError
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.models import ClapTextConfig, SpectralConfig, T5TextConfig
from gmsdi_jax.pipeline import GMSDI, prompts_for
from gmsdi_jax.types import Text

NETWORK = SpectralConfig(
    text_features=8, fft=256, fine_bins=64, width=16, dilations=(1,), components=4
)
TOKENS = 3
FEW = SeparationConfig(method="project", weights="uniform", steps=2)


class Words:
    """An encoder that draws an embedding from the letters of a prompt."""

    digest = "w" * 64

    def __init__(self):
        self.asked = []

    def __call__(self, prompts):
        self.asked += prompts
        rows = [np.random.default_rng(list(map(ord, p))).normal(size=(TOKENS, 8)) for p in prompts]
        mask = np.broadcast_to([[bool(p)] for p in prompts], (len(prompts), TOKENS))
        return Text(np.asarray(rows, np.float32), mask)


def drawn(config):
    rng = np.random.default_rng(0)

    def draw(like):
        return jnp.asarray(rng.standard_normal(like.shape) / np.sqrt(like.shape[0]), like.dtype)

    return jax.tree.map(draw, Model(config).shapes)


@pytest.fixture
def words():
    return Words()


@pytest.fixture
def reader(words):
    """A model of four labels that reads words through a book."""
    conditioner = T5TextConfig(features=8, tokens=TOKENS)
    config = ModelConfig(network=NETWORK, conditioner=conditioner, window=2048)
    return GMSDI(config, drawn(config), encode=PromptBook.of_labels(words, conditioner.labels))


@pytest.fixture
def free(words):
    """A model without labels."""
    conditioner = ClapTextConfig(features=8)
    config = ModelConfig(network=NETWORK, conditioner=conditioner, window=2048)
    return GMSDI(config, drawn(config), encode=PromptBook({}, encoder=words))


def test_labels_are_spelled_before_they_are_encoded(reader, words):
    """Every spelling of a set of labels is one prompt, and in the book already."""
    asked = len(words.asked)
    rows = reader.model.prompt(["drums, BASS", "Bass, Drums", " drums,bass "])
    assert len(words.asked) == asked
    assert_array_equal(rows.embedding[0], Words()(["Bass, Drums"]).embedding[0])
    assert_array_equal(rows.embedding[1:], rows.embedding[:1].repeat(2, 0))


def test_no_text_is_the_learned_null(reader):
    """The empty prompt is answered with the model's own null, whatever the encoder says of it."""
    text = reader.model.embed(reader.params, reader.model.prompt(["", "Bass"]))
    assert_array_equal(text.embedding[0], reader.params["conditioner"]["null"])
    assert_array_equal(text.embedding[1], Words()(["Bass"]).embedding[0])
    assert text.mask.all()


def test_any_words_may_be_asked_for(reader, words, song):
    """Stems named by words and by labels; all labels that nobody named are the rest."""
    result = reader.separate(song(2048), ["a distorted organ", "Bass"], FEW)
    assert list(result.stems) == ["a distorted organ", "Bass"]
    assert "a distorted organ" in words.asked
    assert "Drums, Guitar, Piano" in words.asked
    total = sum(result.stems.values()) + result.residual
    assert_allclose(total, song(2048), atol=1e-6)
    assert np.abs(result.residual).max() > 1e-3


def test_rest_of_a_model_without_labels_has_no_text(free, words, song):
    """Whatever else sounds is asked for by the null, and is the residual."""
    result = free.separate(song(2048), ["a violin"], FEW)
    assert list(result.stems) == ["a violin"]
    assert set(words.asked) <= {"a violin", ""}
    assert np.abs(result.residual).max() > 1e-3
    prompts = prompts_for(free.model, free.params, ["a violin", ""])
    assert_array_equal(
        prompts.texts.embedding[1], np.tile(free.params["conditioner"]["null"], (TOKENS, 1))
    )


def test_generation_reads_words(free):
    """Stems that play together, each from its own words."""
    from gmsdi_jax.pipeline import GenerationConfig

    made = free.generate(["a violin", "a soft drum"], 0.05, GenerationConfig(steps=2))
    assert list(made.stems) == ["a violin", "a soft drum"]


@pytest.mark.parametrize(
    ("stems", "message"),
    [
        (["a violin", " a violin"], "'a violin' is asked for twice"),
        (["Bass", "drums, bass"], "'Bass' is asked for twice"),
        ([" , "], "is empty"),
        ([], "name at least one stem; this model knows Bass"),
    ],
)
def test_stems_that_make_no_sense_are_named(reader, stems, message):
    """Words twice, a label twice, nothing at all: exit code 2."""
    with pytest.raises(ConfigError, match=message):
        reader.separator(stems, FEW)


def test_model_without_labels_wants_words(free):
    """There is no default: the message says so."""
    with pytest.raises(ConfigError, match="name at least one stem; this model reads any words"):
        free.separator(None, FEW)


def test_saved_model_separates_its_labels_without_the_encoder(tmp_path, reader, song):
    """The book travels; words beyond it ask for the encoder, exit code 4."""
    reader.save_pretrained(tmp_path / "model")
    assert (tmp_path / "model" / BOOK).exists()
    again = GMSDI.from_pretrained(tmp_path / "model")
    stems = [model.separate(song(2048), ["Bass"], FEW).stems["Bass"] for model in (reader, again)]
    assert_array_equal(*stems)
    with pytest.raises(UnavailableError, match=r"'a violin' needs the model's text encoder"):
        again.separator(["a violin"], FEW)


def test_encoder_without_a_use_is_refused(tmp_path, model):
    """A model that knows labels only reads no words."""
    model.save_pretrained(tmp_path / "labels")
    with pytest.raises(ConfigError, match="knows labels only and needs none"):
        GMSDI.from_pretrained(tmp_path / "labels", encoder=tmp_path)
    with pytest.raises(UnavailableError, match="no encoder here"):
        GMSDI.from_pretrained(_words_model(tmp_path), encoder=tmp_path / "nowhere")


def _words_model(folder):
    config = ModelConfig(
        network=NETWORK, conditioner=T5TextConfig(features=8, tokens=TOKENS), window=2048
    )
    GMSDI(config, drawn(config)).save_pretrained(folder / "words")
    return folder / "words"


def test_model_without_any_encoder_says_what_it_needs():
    """From Python: neither book nor encoder."""
    config = ModelConfig(network=NETWORK, conditioner=T5TextConfig(features=8), window=2048)
    with pytest.raises(UnavailableError, match="frozen encoder, and none was given"):
        Model(config).prompt(["Bass"])
