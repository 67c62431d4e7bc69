"""The conditioner on frozen embeddings, and what bridges audio and words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.models import ClapTextConfig, Embedded, Pure, T5TextConfig, perturb, shift
from gmsdi_jax.types import Text

CONFIGS = [T5TextConfig(features=6, tokens=5), ClapTextConfig(features=6)]


@pytest.fixture(params=CONFIGS, ids=["t5", "clap"])
def case(request):
    module = Pure(lambda rngs: Embedded(request.param, rngs=rngs))
    return request.param, module, module.init(jax.random.key(0))


def rows(config, mask):
    rng = np.random.default_rng(0)
    shape = len(mask), config.tokens, config.features
    embedding = jnp.asarray(rng.standard_normal(shape), jnp.float32)
    return Text(embedding, jnp.broadcast_to(jnp.asarray(mask)[:, None], shape[:2]))


def test_all_that_is_learned_is_the_null(case):
    """One vector per position, drawn at unit variance."""
    config, _, params = case
    assert set(params) == {"null"}
    assert params["null"].shape == (config.tokens, config.features)
    assert 0.5 < float(jnp.std(params["null"])) < 1.5


def test_text_passes_and_no_text_becomes_the_null(case):
    """Rows with a token that counts are left alone; the others are the null, all of it counting."""
    config, module, params = case
    text = rows(config, [True, False, True])
    answer = module.bind(params)(text)
    assert_array_equal(answer.embedding[::2], text.embedding[::2])
    assert_array_equal(answer.embedding[1], params["null"])
    assert answer.mask.all()


def test_padding_keeps_its_mask():
    """Where padding is not to be attended to, the mask that came in goes out."""
    config = CONFIGS[0]
    module = Pure(lambda rngs: Embedded(config, rngs=rngs))
    text = rows(config, [True, True])
    text = text._replace(mask=text.mask.at[0, 2:].set(False))
    answer = module.bind(module.init(jax.random.key(0)))(text)
    assert_array_equal(answer.mask, text.mask)


def test_only_rows_without_text_train_the_null(case):
    """The null's gradient is nothing where there is text, and something where there is none."""
    config, module, params = case

    def loss(params, mask):
        return jnp.sum(module.bind(params)(rows(config, mask)).embedding ** 2)

    sizes = [jnp.abs(jax.grad(loss)(params, m)["null"]).max() for m in ([True] * 2, [True, False])]
    assert sizes[0] == 0
    assert sizes[1] > 0.1


def unit_vectors(key, n, d=512):
    x = jax.random.normal(jax.random.key(key), (n, 1, d))
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("noise", [0.1, 0.5, 1.0])
def test_noise_turns_vectors_by_the_angle_that_it_says(noise):
    """A random vector of length r is nearly orthogonal: the cosine falls to 1 / sqrt(1 + r^2)."""
    text = Text(unit_vectors(0, 200), jnp.ones((200, 1), bool))
    moved = perturb(jax.random.key(1), text, noise)
    assert_allclose(jnp.linalg.norm(moved.embedding, axis=-1), 1, rtol=1e-5)
    cosine = jnp.sum(moved.embedding * text.embedding, -1).mean()
    assert_allclose(cosine, 1 / np.sqrt(1 + noise**2), atol=0.01)
    assert_array_equal(moved.mask, text.mask)


def test_shift_closes_the_gap_between_the_means():
    """Vectors around one mean end around the other, and stay unit vectors."""
    offset = jnp.zeros(512).at[0].set(1.0)
    words, sounds = unit_vectors(0, 300)[:, 0], unit_vectors(1, 300)[:, 0] + 2 * offset[None]
    sounds = sounds / jnp.linalg.norm(sounds, axis=-1, keepdims=True)
    moved = shift(words, words.mean(0), sounds.mean(0))
    assert_allclose(jnp.linalg.norm(moved, axis=-1), 1, rtol=1e-5)
    before = jnp.linalg.norm(words.mean(0) - sounds.mean(0))
    after = jnp.linalg.norm(moved.mean(0) - sounds.mean(0))
    assert after < 0.3 * before
