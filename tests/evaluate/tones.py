"""Songs of a low tone and a high one, and a separator that is nearly right by construction."""

from types import SimpleNamespace

import numpy as np

from gmsdi_jax.config import ModelConfig
from gmsdi_jax.data import Settings, WholeTrack, open_split, write_split
from gmsdi_jax.evaluate import Song
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.models import SpectralConfig, TagsConfig

RATE, LABELS, CHUNK, HOP = 2000, ("Low", "High"), 8192, 256
CONFIG = ModelConfig(
    network=SpectralConfig(
        text_features=8, fft=128, fine_bins=32, width=16, dilations=(1,), components=2
    ),
    conditioner=TagsConfig(labels=LABELS, features=8),
    sample_rate=RATE,
    window=2048,
)
QUICK = SeparationConfig(sigmas=(0.1,))


def stems_of(seed, seconds=10, silent=()):
    """A tone of 197 Hz and one of 743 Hz of any phase, with a little noise of their own."""
    rng = np.random.default_rng(seed)
    t = np.arange(seconds * RATE) / RATE
    tones = [np.sin(2 * np.pi * (f * t + rng.random())) for f in (197, 743)]
    stems = 0.1 * np.stack(tones) + 0.003 * rng.standard_normal((2, len(t)))
    for k, start, end in silent:
        stems[k, start * RATE : end * RATE] = 0
    return stems.astype(np.float32)


def song_of(seed, **options):
    stems = stems_of(seed, **options)
    return Song(f"song {seed}", stems.sum(0), stems)


class FakeModel:
    """Splits at 450 Hz; `leak` is the share of each answer that goes to the other stem.

    Methods that draw add noise of their seed. `made` and `calls` tell what was asked for.
    """

    def __init__(self, leak=0.0):
        self.leak, self.labels, self.name, self.digest = leak, LABELS, "fake", "0" * 64
        self.made, self.prompted, self.calls = [], [], 0
        self.model = SimpleNamespace(config=CONFIG)

    def separator(self, stems, config, *, rows, seed, **prompting):
        assert stems is None
        self.prompted.append(prompting)
        return Separator(self, config, rows or 2, seed)


class Separator:
    """What `FakeModel.separator` returns."""

    def __init__(self, owner, config, rows, seed):
        self.owner, self.config, self.rows, self.seed = owner, config, rows, seed
        self.model, self.stems = owner.model, LABELS
        self.evaluations = config.evaluations(2)

    def __call__(self, batch, first):
        self.owner.calls += 1
        spectrum = np.fft.rfft(batch, axis=1)
        low = np.fft.rfftfreq(batch.shape[1], 1 / RATE)[None, :, None] < 450
        parts = np.stack([np.fft.irfft(spectrum * keep, axis=1) for keep in (low, ~low)], 1)
        leak = self.owner.leak * self.config.guidance
        parts = (1 - leak) * parts + leak * parts[:, ::-1]
        if self.config.method != "direct":
            draws = np.random.default_rng([self.seed, first])
            parts = parts + 0.01 * draws.standard_normal(parts.shape)
        return parts.astype(np.float32)

    def compile(self):
        pass

    def with_seed(self, seed):
        self.owner.made.append((self.config.method, seed))
        return Separator(self.owner, self.config, self.rows, seed)


def write_songs(folder, *, labels=LABELS, rate=RATE, stems=True, silent=()):
    settings = Settings(labels, sample_rate=rate, chunk=CHUNK, hop=HOP, stems=stems)
    songs = [stems_of(seed, silent=[(seed % 2, 2, 5), *silent]) for seed in range(4)]
    write_split(folder, settings, [WholeTrack(f"T{n}", song) for n, song in enumerate(songs)])
    return open_split(folder)
