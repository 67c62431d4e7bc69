"""CLAP as a function of words, of files and of audio: one unit vector for each."""

import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest
from encoders.tiny import TINY_CLAP, TINY_T5, clap_folder, t5_tokenizer
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.arrays import digest
from gmsdi_jax.audio import write
from gmsdi_jax.encoders import ClapEncoder, open_encoder, save_encoder
from gmsdi_jax.encoders.clap import modality_gap
from gmsdi_jax.errors import ConfigError, InputError, UnavailableError
from gmsdi_jax.models import Clap, ClapTextConfig, Pure
from gmsdi_jax.prompts import tokenize
from gmsdi_jax.types import Batch

RATE, CLIP, JOINT = TINY_CLAP.mel.sample_rate, TINY_CLAP.mel.clip, TINY_CLAP.joint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return clap_folder(tmp_path_factory.mktemp("encoders") / "clap")


@pytest.fixture(scope="module")
def clap(folder):
    return ClapEncoder.from_folder(folder)


class Loudness(Clap):
    """A CLAP that compiles at once: its vector of a clip is how loud each twelfth of it is."""

    def audio(self, clips):
        return unit((clips.reshape(len(clips), JOINT, -1) ** 2).mean(-1))


def loudness(clap, config):
    """The encoder `clap` with that audio branch."""
    module = Pure(lambda rngs: Loudness(config, rngs=rngs))
    return ClapEncoder(clap._encoder._replace(config=config, module=module), clap._tokenize)


@pytest.fixture(scope="module")
def quick(clap):
    return loudness(clap, TINY_CLAP)


@pytest.fixture
def tones(rng):
    """A clip each of four tones in noise."""
    time = np.arange(CLIP) / RATE
    pitches = np.array([[200.0], [600.0], [1500.0], [3000.0]])
    noise = 0.05 * rng.standard_normal((4, CLIP))
    return (np.sin(2 * np.pi * pitches * time) + noise).astype(np.float32)


def unit(vectors):
    return vectors / (vectors**2).sum(-1, keepdims=True) ** 0.5


def test_words_are_one_unit_vector(clap):
    """Different for different words."""
    text = clap(["a violin", "a drum", "x" * 200])
    assert text.embedding.shape == (3, 1, JOINT)
    assert_array_equal(text.mask, np.ones((3, 1), bool))
    assert_allclose(np.linalg.norm(text.embedding, axis=-1), 1, rtol=1e-5)
    assert np.abs(text.embedding[0] - text.embedding[1]).max() > 0.01


def test_nothing_counts_of_an_empty_prompt(clap):
    """Its vector is one of numbers all the same."""
    text = clap(["", "a violin", " "])
    assert_array_equal(text.mask, [[False], [True], [False]])
    assert np.isfinite(text.embedding).all()


@pytest.mark.parametrize("rows", [1, 8, 9])
def test_a_row_is_the_same_whatever_its_neighbours(rows, clap):
    """However many there are."""
    prompts = [*(f"neighbour {'abcdefgh'[i]}" for i in range(rows - 1)), "a violin"]
    assert_allclose(clap(prompts).embedding[-1], clap(["a violin"]).embedding[0], atol=1e-6)


def test_files_are_heard(clap, quick, tones, tmp_path):
    """Between words, with spaces around the name and in it, the mean of their channels."""
    path = tmp_path / "two tones.wav"
    swelling = np.concatenate([tones[0] * np.linspace(0, 1, CLIP), tones[1]]).astype(np.float32)
    write(path, np.stack([swelling / 2, swelling / 4], -1), RATE)
    text = quick(["a violin", f" @{path} ", ""])
    assert_array_equal(text.mask, [[True], [True], [False]])
    assert_allclose(text.embedding[0], clap(["a violin"]).embedding[0], atol=1e-6)
    heard = quick.audio(0.375 * swelling[None], RATE).embedding[0]
    assert_allclose(text.embedding[1], heard, atol=1e-3)
    assert heard.max() - heard.min() > 0.1


def test_a_file_that_is_missing_is_named(clap, tmp_path):
    """As every input is."""
    with pytest.raises(InputError, match=r"none\.wav"):
        clap([f"@{tmp_path}/none.wav"])


def test_audio_is_one_unit_vector_a_row(clap, tones):
    """Each row by itself, however many there are: five are two calls of four."""
    five = clap.audio(tones[[0, 1, 2, 3, 1]], RATE)
    assert five.embedding.shape == (5, 1, JOINT)
    assert_array_equal(five.mask, np.ones((5, 1), bool))
    assert_allclose(np.linalg.norm(five.embedding, axis=-1), 1, rtol=1e-5)
    assert_allclose(five.embedding[4], five.embedding[1], atol=1e-5)
    assert np.abs(five.embedding[0] - five.embedding[1]).max() > 0.01


def test_short_audio_is_repeated(quick, tones):
    """Half a clip is heard as the clip in which it is twice."""
    half = tones[:, : CLIP // 2] * np.linspace(0, 1, CLIP // 2, dtype=np.float32)[None]
    twice = quick.audio(np.tile(half, 2), RATE).embedding
    assert_allclose(quick.audio(half, RATE).embedding, twice, atol=1e-6)


def test_long_audio_is_the_direction_of_its_clips(quick, tones):
    """Of two clips' length, both halves count alike, however loud."""
    audio = np.concatenate([tones, 0.1 * np.cumsum(tones[::-1], 1)], 1)
    first, second = (quick.audio(half, RATE).embedding for half in np.split(audio, 2, 1))
    assert np.abs(first - second).max() > 0.1
    assert_allclose(quick.audio(audio, RATE).embedding, unit(first + second), atol=1e-5)


def test_drawn_clips_follow_their_keys(clap, tones, key):
    """Where the configuration says so: the same for the same keys, others for others."""
    config = replace(TINY_CLAP, crops=replace(TINY_CLAP.crops, rule="keyed"))
    audio = np.cumsum(np.concatenate([tones, tones[::-1]], 1), 1)
    one, other = jax.random.split(key, 4), jax.random.split(jax.random.key(1), 4)
    keyed = loudness(clap, config)
    once = keyed.audio(audio, RATE, one).embedding
    assert_array_equal(once, keyed.audio(audio, RATE, one).embedding)
    assert (np.abs(once - keyed.audio(audio, RATE, other).embedding).max(-1) > 1e-4).all()
    unkeyed = keyed.audio(audio, RATE).embedding
    assert_allclose(keyed.audio(audio[1:2], RATE).embedding, unkeyed[1:2], atol=1e-6)
    assert (np.abs(unkeyed - once).max(-1) > 1e-4).any()


def test_audio_of_any_rate(quick):
    """A sound that fades at twice the rate is the same sound; one that swells is another."""

    def sound(rate, fade):
        time = np.arange(CLIP * rate // RATE) / rate
        return (np.sin(2 * np.pi * 400 * time) * np.exp(fade * time)).astype(np.float32)[None]

    heard = [
        quick.audio(sound(rate, fade), rate).embedding[0, 0]
        for rate, fade in ((RATE, -3), (2 * RATE, -3), (RATE, 3))
    ]
    assert_allclose(heard[1], heard[0], atol=0.01)
    assert np.abs(heard[2] - heard[0]).max() > 0.1


def test_a_batch_gets_the_vectors_of_its_own_audio(quick, tones):
    """The mean of its channels, at the data's rate; all else stays."""
    fading = tones * np.linspace(2, 0, CLIP, dtype=np.float32)[None]
    audio = np.stack([0.5 * tones, fading], -1)
    batch = Batch(audio, audio, tokenize([""] * 4, ("Bass",)))
    embedded = quick.of_audio(RATE)(batch)
    expected = quick.audio((0.5 * tones + fading) / 2, RATE)
    assert_allclose(embedded.prompt.embedding, expected.embedding, atol=1e-5)
    assert embedded.prompt.mask.all()
    assert embedded.audio is audio


def test_gap_moves_words_and_not_audio(clap, quick, tones, monkeypatch):
    """By the difference of the means, back to length 1."""
    texts = clap(["a violin", "a drum"]).embedding[:, 0]
    audio = quick.audio(tones, RATE).embedding[:, 0]
    gap = modality_gap(texts, audio)
    assert_allclose(gap, [texts.mean(0), audio.mean(0)])
    monkeypatch.setattr(clap, "gap", gap)
    moved = clap(["a violin"]).embedding[0, 0]
    assert_allclose(moved, unit(texts[0] + gap[1] - gap[0]), atol=1e-5)
    assert np.abs(moved - texts[0]).max() > 0.01
    monkeypatch.setattr(quick, "gap", gap)
    assert_array_equal(quick.audio(tones, RATE).embedding[:, 0], audio)


def test_models_open_the_encoder_of_their_size(clap, folder):
    """Its digest is that of the weights; another size is refused."""
    opened = open_encoder(ClapTextConfig(features=JOINT), folder)
    assert isinstance(opened, ClapEncoder)
    assert opened.digest == clap.digest == digest(folder / "model.safetensors")
    with pytest.raises(ConfigError, match="answers with 12 numbers, where the model reads 512"):
        open_encoder(ClapTextConfig(), folder)


def test_another_kind_of_encoder_is_refused(tmp_path):
    """By name, before its weights are looked at."""
    save_encoder(tmp_path, TINY_T5, {})
    with pytest.raises(ConfigError, match="holds t5, where clap is needed"):
        ClapEncoder.from_folder(tmp_path)


def test_damage_is_named(folder, tmp_path):
    """A tokenizer that is another's or missing, weights that are cut off."""
    broken = shutil.copytree(folder, tmp_path / "clap")
    t5_tokenizer(broken)
    with pytest.raises(ConfigError, match="is another encoder's: <pad> is 0"):
        ClapEncoder.from_folder(broken)
    (broken / "tokenizer.json").unlink()
    with pytest.raises(UnavailableError, match=r"no tokenizer\.json"):
        ClapEncoder.from_folder(broken)
    (broken / "model.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(UnavailableError, match="damaged or unreadable"):
        ClapEncoder.from_folder(broken)
