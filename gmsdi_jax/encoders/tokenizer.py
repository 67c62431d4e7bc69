"""The tokenizer that lies in an encoder's folder: ``tokenizer.json``.

That one file says how words become numbers, so the small library `tokenizers` is all that reads it.
Published ones come in several files of several kinds; transformers knows them all, and
`save_tokenizer` lets it write the one.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from tokenizers import Tokenizer

from gmsdi_jax.errors import ConfigError, UnavailableError

PAD = "<pad>"
"""What both T5 and RoBERTa call the token that fills rows up."""


class Numbers(NamedTuple):
    """Prompts as rows of token numbers of one length."""

    ids: Int[np.ndarray, "n s"]
    mask: Bool[np.ndarray, "n s"]
    """False where a row is filled up."""


Tokenize = Callable[[Sequence[str]], Numbers]


def load_tokenizer(folder: Path, length: int, *, pad: int, vocabulary: int) -> Tokenize:
    """The tokenizer in `folder`, which pads and cuts every prompt to `length` tokens.

    Args:
        folder: where ``tokenizer.json`` is.
        length: tokens of a row, with those that open or end it, which are never cut off.
        pad: the number that the encoder takes for padding.
        vocabulary: how many tokens the encoder knows.

    Raises:
        UnavailableError: there is no tokenizer, or it cannot be read.
        ConfigError: it is another encoder's.
    """
    path = folder / "tokenizer.json"
    if not path.exists():
        raise UnavailableError(
            f"{folder}: no tokenizer.json; copy it there from where the weights were published"
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # what the library raises has no narrower type
        raise UnavailableError(f"{path}: cannot be read ({error})") from error
    own, largest = tokenizer.token_to_id(PAD), max(tokenizer.get_vocab().values())
    if own != pad or largest >= vocabulary:
        raise ConfigError(
            f"{path}: is another encoder's: {PAD} is {own} and the largest number {largest}, where "
            f"this one has {pad} and {vocabulary - 1}"
        )
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=pad, pad_token=PAD)

    def tokenize(prompts: Sequence[str]) -> Numbers:
        rows = tokenizer.encode_batch(list(prompts))
        ids = np.array([row.ids for row in rows], np.int32)
        return Numbers(ids, np.array([row.attention_mask for row in rows], bool))

    return tokenize


def save_tokenizer(source: str | Path, folder: Path) -> None:
    """Writes the tokenizer of `source` into `folder` as ``tokenizer.json``.

    Args:
        source: a folder with the files of a published tokenizer, or a repository's id on the
            Hugging Face hub, such as ``roberta-base``, which LAION's CLAP was trained with.
        folder: an encoder's.

    Raises:
        UnavailableError: there is no tokenizer, or none that can be read here.
    """
    from transformers import AutoTokenizer  # takes seconds to import, and is seldom needed

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(source))
        tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    except Exception as error:  # what the libraries raise has no narrower type
        why = str(error).strip().split("\n")[0]
        raise UnavailableError(f"tokenizer {source}: cannot be read ({why})") from error
