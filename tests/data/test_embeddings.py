"""Stored vectors say which window they were made of: the mean of its samples, and its first."""

import json

import numpy as np
import pytest

from gmsdi_jax.data import (
    Settings,
    WholeTrack,
    WindowConfig,
    open_embeddings,
    open_split,
    training_batches,
    write_embeddings,
    write_split,
)
from gmsdi_jax.errors import ConfigError, InputError, UnavailableError

CHUNK, HOP, WINDOW = 4096, 256, 8192
LENGTHS = (5 * CHUNK, WINDOW, WINDOW - 1, 3 * CHUNK + 100, 300)


@pytest.fixture
def split(tmp_path):
    rng = np.random.default_rng(0)
    tracks = [
        WholeTrack(f"T{n}", rng.uniform(-0.2, 0.3, (1, length)).astype(np.float32))
        for n, length in enumerate(LENGTHS)
    ]
    made = Settings((), chunk=CHUNK, hop=HOP, presence="track")
    write_split(tmp_path / "train", made, tracks, tracks_per_shard=2)
    return open_split(tmp_path / "train")


class Means:
    """An encoder; it counts the windows it was asked for."""

    def __init__(self):
        self.seen = 0

    def __call__(self, audio):
        self.seen += len(audio)
        return np.stack([audio.mean(1), audio[:, 0]], axis=1)


def write(split, embed=None, **options):
    return write_embeddings(split, "means", WINDOW, "digest", embed or Means(), **options)


def test_every_record_that_starts_a_window_has_its_vector(split):
    encoder = Means()
    assert write(split, encoder, rows=3)
    assert encoder.seen == 4 + 1 + 0 + 2 + 0
    stored = open_embeddings(split, "means")
    assert (stored.features, stored.window, stored.encoder) == (2, WINDOW, "digest")
    for record in range(len(split)):
        expected = np.zeros(2)
        if split.remaining[record] >= WINDOW:
            audio = split.window(record, 0, WINDOW) / 32768
            expected = np.array([audio.mean(), audio[0]])
        np.testing.assert_allclose(stored[record], expected, atol=1e-6)


def test_batches_carry_the_embedding_of_their_own_audio(split):
    write(split)
    config = WindowConfig(embeddings="means", polarity=True)
    batches = training_batches(split, WINDOW, 4, 0, config)
    seen = set()
    for _ in range(10):
        batch = next(batches)
        assert batch.prompt.embedding.shape == (4, 1, 2)
        assert batch.prompt.mask.all()
        means = np.abs(batch.audio.mean((1, 2)))
        np.testing.assert_allclose(batch.prompt.embedding[:, 0, 0], means, atol=1e-6)
        seen |= set(np.rint(means * 1e6).tolist())
    assert len(seen) == 7


def test_shares_and_stopped_runs_are_joined(split, tmp_path):
    first = Means()
    assert not write(split, first, share=(0, 3))
    assert not (split.folder / "embeddings/means/embeddings.json").exists()
    with pytest.raises(UnavailableError, match="gmsdi data embed"):
        open_embeddings(split, "means")
    assert not write(split, share=(2, 3))
    assert write(split, last := Means())  # the whole: only what is missing
    assert (first.seen, last.seen) == (5, 2)
    assert write(split, nothing := Means())
    assert nothing.seen == 0


def test_other_encoders_and_windows_need_another_name(split):
    write(split, share=(0, 3))
    with pytest.raises(ConfigError, match="encoder digest, now other"):
        write_embeddings(split, "means", WINDOW, "other", Means())
    with pytest.raises(ConfigError, match="window 8192, now 4096"):
        write_embeddings(split, "means", CHUNK, "digest", Means())
    assert write_embeddings(split, "others", CHUNK, "other", Means())
    with pytest.raises(ConfigError, match=r"windows of 4096 samples.*not 8192"):
        training_batches(split, WINDOW, 4, 0, WindowConfig(embeddings="others"))
    with pytest.raises(ConfigError, match="plain word"):
        write_embeddings(split, "../means", WINDOW, "digest", Means())
    with pytest.raises(ConfigError, match="share 3 of 3"):
        write(split, share=(3, 3))


def test_damage_is_named_and_mended_by_the_next_run(split):
    write(split)
    part = split.folder / "embeddings/means/part-00000-of-00003.npy"
    whole = part.read_bytes()
    part.write_bytes(whole[:-1] + b"?")
    with pytest.raises(InputError, match=r"part-00000.*checksum"):
        open_embeddings(split, "means")
    write(split)
    assert part.read_bytes() == whole
    manifest = split.folder / "embeddings/means/embeddings.json"
    manifest.write_text(json.dumps({"parts": 3}))
    with pytest.raises(InputError, match="means is damaged"):
        open_embeddings(split, "means")


def test_embeddings_that_are_not_finite_are_refused(split):
    with pytest.raises(InputError, match="not finite"):
        write(split, lambda audio: np.full((len(audio), 2), np.nan))


def test_what_changes_the_sound_does_not_go_with_stored_embeddings():
    for change in ({"gain_db": (-3, 3)}, {"mixing": 0.5}, {"sums": 0.5}, {"balance": (1.0,)}):
        with pytest.raises(ConfigError, match="embeddings belong to windows"):
            WindowConfig(embeddings="clap", **change)
