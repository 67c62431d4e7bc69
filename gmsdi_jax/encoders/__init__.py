"""Frozen encoders of text and audio, as functions of strings and samples.

An encoder's folder holds ``config.json``, ``model.safetensors`` and the files of its tokenizer;
``gmsdi convert`` makes one of published weights. Every encoder knows the SHA-256 of its weights, so
that what it once answered, kept in a `PromptBook` beside a model, is never mixed up with another's.
"""

from pathlib import Path

from gmsdi_jax.encoders.book import BOOK, PromptBook
from gmsdi_jax.encoders.clap import ClapEncoder
from gmsdi_jax.encoders.folder import load_encoder, save_encoder
from gmsdi_jax.encoders.t5 import T5Encoder
from gmsdi_jax.encoders.vggish import VggishEncoder
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.models import ClapTextConfig, T5TextConfig
from gmsdi_jax.types import TextEncoder

WORDS = T5TextConfig, ClapTextConfig
"""Conditioners that read what an encoder made of words."""


def open_encoder(conditioner: T5TextConfig | ClapTextConfig, folder: Path) -> TextEncoder:
    """The encoder in `folder`, as this conditioner wants it.

    Raises:
        UnavailableError: weights or tokenizer are missing or damaged.
        ConfigError: the folder holds something else, or an encoder of another size.
    """
    if isinstance(conditioner, ClapTextConfig):
        encoder = ClapEncoder.from_folder(folder)
    else:
        encoder = T5Encoder.from_folder(folder, conditioner.tokens, conditioner.attend_padding)
    if encoder.features != conditioner.features:
        raise ConfigError(
            f"{folder}: answers with {encoder.features} numbers, where the model reads "
            f"{conditioner.features}"
        )
    return encoder


__all__ = [
    "BOOK",
    "WORDS",
    "ClapEncoder",
    "PromptBook",
    "T5Encoder",
    "VggishEncoder",
    "load_encoder",
    "open_encoder",
    "save_encoder",
]
