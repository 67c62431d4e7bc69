"""Tiny encoders on disk, as ``gmsdi convert`` leaves them: a second or less each, and no download.

The tokenizers split words into letters. In what counts they are T5's and RoBERTa's: the numbers of
their special tokens, where these go, and how a space is spelled. Their folders are read by
`transformers.AutoTokenizer` as well as by ours.
"""

import json
import string
from pathlib import Path

import jax
import jax.numpy as jnp
from parity.weights import draw
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from gmsdi_jax.encoders.folder import pure, save_encoder
from gmsdi_jax.models import ClapConfig, T5Config
from gmsdi_jax.models.clap import HtsatConfig, MelConfig, RobertaConfig

LETTERS = string.ascii_letters + ",.:;!?'\"-"
TINY_T5 = T5Config(features=8, layers=2, heads=2, head_features=4, hidden=12, vocabulary=72)
TINY_CLAP = ClapConfig(
    mel=MelConfig(sample_rate=8000, clip=3600, fft=128, hop=60, bands=4, high=3500.0),
    audio=HtsatConfig(side=16, features=8, depths=(2,), heads=(2,), window=2),
    text=RobertaConfig(vocabulary=66, positions=79, features=16, layers=1, heads=2, mlp=32),
    joint=12,
)


def t5_tokenizer(folder: Path) -> None:
    """A unigram tokenizer: ``</s>`` closes, ``▁`` is a space, and one opens every text."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", *LETTERS]
    scores = [0.0 if piece.startswith("<") else -1.0 for piece in pieces]
    tokenizer = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), unk_id=2))
    tokenizer.add_special_tokens(pieces[:3])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"}
    _save(folder, tokenizer, about | {"eos_token": "</s>", "unk_token": "<unk>"})


def roberta_tokenizer(folder: Path) -> None:
    """A byte-level tokenizer: ``<s>`` opens, ``</s>`` closes, ``Ġ`` is a space."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "Ġ", *LETTERS]
    numbers = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(numbers, [], unk_token="<unk>"))
    tokenizer.add_special_tokens(pieces[:4])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"}
    _save(folder, tokenizer, about | {"model_max_length": 77})


def t5_folder(folder: Path, config: T5Config = TINY_T5, seed: int = 0) -> Path:
    """A whole T5 encoder; another seed, other weights."""
    _encoder(folder, config, seed)
    t5_tokenizer(folder)
    return folder


def clap_folder(folder: Path, config: ClapConfig = TINY_CLAP, seed: int = 0) -> Path:
    """A whole CLAP; another seed, other weights."""
    _encoder(folder, config, seed)
    roberta_tokenizer(folder)
    return folder


def _encoder(folder: Path, config: T5Config | ClapConfig, seed: int) -> None:
    save_encoder(folder, config, jax.tree.map(jnp.asarray, draw(pure(config).shapes, seed)))


def _save(folder: Path, tokenizer: Tokenizer, about: dict[str, str | int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
