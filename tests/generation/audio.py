"""Folders of short tones and noise, and tiny encoders that hear them."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from encoders.tiny import clap_folder
from parity.vggish_case import NARROW
from parity.weights import draw

from gmsdi_jax.audio import write
from gmsdi_jax.encoders.folder import pure, save_encoder

RATE = 16000
STEMS = ("bass", "drums", "piano")


def vggish_folder(folder: Path, seed: int = 0) -> Path:
    """The real architecture, narrow, random weights."""
    weights = jax.tree.map(jnp.asarray, draw(pure(NARROW).shapes, seed))
    save_encoder(folder, NARROW, weights)
    return folder


def encoders(folder: Path) -> tuple[Path, Path]:
    """A VGGish and a CLAP."""
    return vggish_folder(folder / "vggish"), clap_folder(folder / "clap")


def sound(stem: str, seed: int, seconds: float = 2.0) -> np.ndarray:
    """What a stem plays in a piece: notes of its own register, or bursts of noise."""
    rng = np.random.default_rng([seed, STEMS.index(stem)])
    time = np.arange(round(seconds * RATE)) / RATE
    if stem == "drums":
        return 0.2 * rng.standard_normal(time.size) * np.exp(-20 * (time % 0.25))
    pitch = rng.choice([1, 9 / 8, 5 / 4, 3 / 2], 8)[(time // 0.25).astype(int) % 8]
    return 0.2 * np.sin(2 * np.pi * {"bass": 80, "piano": 440}[stem] * pitch * time)


def piece(folder: Path, seed: int, stems=STEMS, mix: str | None = None, seconds=2.0) -> Path:
    """One folder of stems; `mix` names a file of their sum."""
    parts = {stem: sound(stem, seed, seconds) for stem in stems}
    if mix is not None:
        parts[mix] = np.sum(list(parts.values()), 0)
    for name, audio in parts.items():
        write(folder / f"{name}.wav", audio[:, None].astype(np.float32), RATE)
    return folder


def pieces(folder: Path, seeds, **options) -> Path:
    """A folder per seed."""
    for seed in seeds:
        piece(folder / f"song{seed}", seed, **options)
    return folder
