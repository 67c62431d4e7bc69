"""T5: a prompt becomes the last hidden state of each of its tokens."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gmsdi_jax.encoders.folder import Encoder, load_encoder
from gmsdi_jax.encoders.rows import in_chunks
from gmsdi_jax.encoders.tokenizer import load_tokenizer
from gmsdi_jax.types import Text


class T5Encoder:
    """A frozen T5 encoder with its tokenizer: strings to `Text`.

    Prompts are padded or cut to one length. T5 itself does not see the padding. Whoever attends to
    the states may: audio-diffusion-pytorch's network does, so that is the default.
    """

    def __init__(
        self, encoder: Encoder, tokenizer: Any, tokens: int = 64, attend_padding: bool = True
    ):
        """`tokens` is the length of every prompt; see `from_folder`."""
        self._encoder, self._tokenizer = encoder, tokenizer
        self.tokens, self.attend_padding = tokens, attend_padding
        self.digest = encoder.digest

    @classmethod
    def from_folder(
        cls, folder: str | Path, tokens: int = 64, attend_padding: bool = True
    ) -> "T5Encoder":
        """The encoder in a folder that ``gmsdi convert`` made.

        Raises:
            UnavailableError: weights or tokenizer are missing or damaged.
            ConfigError: the folder holds something else.
        """
        folder = Path(folder)
        return cls(load_encoder(folder, "t5"), load_tokenizer(folder), tokens, attend_padding)

    def __call__(self, prompts: Sequence[str]) -> Text:
        """Hidden states ``[n s d]``; of an empty prompt no token counts."""
        ids = self._tokenizer(
            list(prompts), padding="max_length", truncation=True, max_length=self.tokens
        )
        numbers = np.asarray(ids["input_ids"], np.int32)
        mask = np.asarray(ids["attention_mask"], bool)
        hidden = in_chunks(self._apply, numbers, mask)
        given = np.array([bool(prompt.strip()) for prompt in prompts])[:, None]
        counts = np.ones_like(mask) if self.attend_padding else mask
        return Text(hidden, counts & given)  # type: ignore[arg-type]

    @cached_property
    def _apply(self):
        module, params = self._encoder.module, self._encoder.params
        run = jax.jit(lambda params, ids, mask: module.bind(params)(ids, mask))
        return lambda ids, mask: run(params, ids, mask)
