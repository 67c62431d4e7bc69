"""Who hears the clips: VGGish as two published programs use it, CLAP, and a meter.

Every implementation of the FAD draws its own lines, and numbers compare within one only:

``gudgud96``
    the frechet-audio-distance package (and fadtk): examples of 0.96 s one after the other, audio
    as it is;
``google``
    the original: an example every half second, audio scaled to its peak (by no more than 10).

Both leave the ReLU after the last layer out. The resampler to 16 kHz is ours (soxr), not theirs.

Weights are loaded when a clip is first heard: where all answers are known, they are only digested.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float

from gmsdi_jax.arrays import WEIGHTS, digest
from gmsdi_jax.encoders import ClapEncoder, VggishEncoder, load_encoder
from gmsdi_jax.encoders.folder import pure, read_encoder_config
from gmsdi_jax.errors import ConfigError, UnavailableError
from gmsdi_jax.metrics.loudness import integrated_loudness, silence_fraction
from gmsdi_jax.models import ClapConfig, VggishConfig

Variant = Literal["gudgud96", "google"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
_CHOICES = {
    "gudgud96": {"relu_last": False, "hop": 96, "peak": False},
    "google": {"relu_last": False, "hop": 50, "peak": True},
}
DEFAULT_FOLDERS = (Path("encoders", "vggish"), Path("encoders", "clap"))
"""Where encoders are looked for if none is named."""
HOW_TO_GET = (
    "get vggish-10086976.pth (release v0.1 of harritaylor/torchvggish on GitHub) and run gmsdi "
    "convert vggish-10086976.pth -o encoders/vggish; for CLAP, LAION's "
    "music_audioset_epoch_15_esc_90.14.pt and gmsdi convert FILE -o encoders/clap --tokenizer "
    "roberta-base"
)


class Listener(NamedTuple):
    """What turns clips into rows of numbers."""

    name: str
    """As the table calls it."""
    key: str
    """What its answers depend on, weights and choices: they are stored under it."""
    hear: Callable[[Float[np.ndarray, "n t"], int], Float[np.ndarray, "n m d"]]
    """Mono clips of one length and their rate, Hz, to rows for each."""
    least: float = 0.0
    """The shortest clip that it hears, seconds."""
    words: Callable[[Sequence[str]], Float[np.ndarray, "k d"]] | None = None
    """Vectors of words, where it has an ear for them."""


def open_listeners(
    folders: Sequence[Path], variants: Sequence[Variant] = ("gudgud96",)
) -> list[Listener]:
    """The encoders in these folders, VGGish once per variant.

    Raises:
        UnavailableError: a folder holds no encoder, or a damaged one; says how to get one.
        ConfigError: an encoder hears no audio.
    """
    return [listener for folder in folders for listener in _open(Path(folder), variants)]


def sound_meter() -> Listener:
    """Hears ``[silence fraction, loudness in LUFS]`` of a clip."""

    def hear(clips: Float[np.ndarray, "n t"], rate: int) -> Float[np.ndarray, "n 1 2"]:
        rows = [(silence_fraction(clip, rate), integrated_loudness(clip, rate)) for clip in clips]
        return np.array(rows, np.float32)[:, None]

    return Listener("sound", "silence by the second below -47 dBFS, BS.1770-4; 1", hear)


def _open(folder: Path, variants: Sequence[Variant]) -> list[Listener]:
    for name in ("config.json", WEIGHTS):
        if not (folder / name).is_file():
            raise UnavailableError(f"{folder}: no encoder here: {HOW_TO_GET}")
    config = read_encoder_config(folder)
    if isinstance(config, VggishConfig):
        return [_vggish(folder, config, variant) for variant in variants]
    if isinstance(config, ClapConfig):
        return [_clap(folder, config)]
    raise ConfigError(f"{folder}: hears no audio; name a folder of VGGish or CLAP")


def _vggish(folder: Path, config: VggishConfig, variant: Variant) -> Listener:
    config = dataclasses.replace(config, **_CHOICES[variant])

    @cache
    def vggish() -> VggishEncoder:
        encoder = load_encoder(folder, "vggish")
        return VggishEncoder(encoder._replace(config=config, module=pure(config)))

    def hear(clips: Float[np.ndarray, "n t"], rate: int) -> Float[np.ndarray, "n m d"]:
        rows = vggish().audio(clips, rate)
        return rows.reshape(len(clips), -1, rows.shape[-1])

    # 0.96 s of frames that are 15 ms longer than their distance, and a sample for the resampler
    return Listener(f"VGGish {variant}", _key(folder, config), hear, least=0.976)


def _clap(folder: Path, config: ClapConfig) -> Listener:
    @cache
    def clap() -> ClapEncoder:
        return ClapEncoder.from_folder(folder)

    def hear(clips: Float[np.ndarray, "n t"], rate: int) -> Float[np.ndarray, "n 1 d"]:
        return np.asarray(clap().audio(clips, rate).embedding)

    def words(texts: Sequence[str]) -> Float[np.ndarray, "k d"]:
        return np.asarray(clap()(texts).embedding)[:, 0]

    return Listener("CLAP", _key(folder, config), hear, words=words)


def _key(folder: Path, config: VggishConfig | ClapConfig) -> str:
    about = {
        "weights": digest(folder / WEIGHTS),
        "config": dataclasses.asdict(config),
        "front end": 1,
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
