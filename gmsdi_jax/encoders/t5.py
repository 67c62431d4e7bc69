"""T5: a prompt becomes the last hidden state of each of its tokens."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import jax
import numpy as np

from gmsdi_jax.encoders.folder import Encoder, load_encoder
from gmsdi_jax.encoders.rows import in_chunks
from gmsdi_jax.encoders.tokenizer import Tokenize, load_tokenizer
from gmsdi_jax.types import Text

_PAD = 0  # in every T5


class T5Encoder:
    """A frozen T5 encoder with its tokenizer: strings to `Text`.

    Prompts are padded or cut to one length. T5 itself does not see the padding. Whoever attends to
    the states may: audio-diffusion-pytorch's network does, so that is the default.
    """

    def __init__(self, encoder: Encoder, tokenize: Tokenize, attend_padding: bool = True):
        """See `from_folder`."""
        self._encoder, self._tokenize = encoder, tokenize
        self.attend_padding = attend_padding
        self.digest, self.features = encoder.digest, encoder.config.features

    @classmethod
    def from_folder(
        cls, folder: str | Path, tokens: int = 64, attend_padding: bool = True
    ) -> "T5Encoder":
        """The encoder in a folder that ``gmsdi convert`` made.

        Args:
            folder: holds configuration, weights and tokenizer.
            tokens: the length of every prompt.
            attend_padding: whether padding counts in the texts that come back.

        Raises:
            UnavailableError: weights or tokenizer are missing or damaged.
            ConfigError: the folder holds something else.
        """
        folder = Path(folder)
        encoder = load_encoder(folder, "t5")
        tokenize = load_tokenizer(folder, tokens, pad=_PAD, vocabulary=encoder.config.vocabulary)
        return cls(encoder, tokenize, attend_padding)

    def __call__(self, prompts: Sequence[str]) -> Text:
        """Hidden states ``[n s d]``; of an empty prompt no token counts."""
        ids, mask = self._tokenize(prompts)
        hidden = in_chunks(self._apply, ids, mask)
        given = np.array([bool(prompt.strip()) for prompt in prompts])[:, None]
        return Text(hidden, given & (mask | self.attend_padding))  # type: ignore[arg-type]

    @cached_property
    def _apply(self):
        module, params = self._encoder.module, self._encoder.params
        run = jax.jit(lambda params, ids, mask: module.bind(params)(ids, mask))
        return lambda ids, mask: run(params, ids, mask)
