"""What users write: the names of labels, or any words.

A prompt that names only labels is a *set*: case, order and repetition do not matter, and it is
spelled in the labels' own order, ``"Bass, Drums"``. Any other prompt is words, for models whose
encoder reads words. The empty prompt is "no text".
"""

import difflib
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from gmsdi_jax.errors import ConfigError
from gmsdi_jax.types import Tokens


def presence(prompts: Sequence[str], labels: Sequence[str]) -> Bool[np.ndarray, "n k"]:
    """Which labels each prompt names.

    Raises:
        ConfigError: a name that is not among `labels`; the message lists them.
    """
    names = {label.lower(): number for number, label in enumerate(labels)}
    mask = np.zeros((len(prompts), len(labels)), bool)
    for row, prompt in enumerate(prompts):
        for name in _names(prompt):
            if name not in names:
                close = difflib.get_close_matches(name, names, 1)
                hint = f" Did you mean {labels[names[close[0]]]!r}?" if close else ""
                raise ConfigError(
                    f"stem {name!r} is unknown to this model.{hint} It knows: {', '.join(labels)}"
                )
            mask[row, names[name]] = True
    return mask


def tokenize(prompts: Sequence[str], labels: Sequence[str]) -> Tokens:
    """`presence` as token rows: one token per label, of which those named count."""
    mask = presence(prompts, labels)
    ids = np.broadcast_to(np.arange(len(labels), dtype=np.int32), mask.shape)
    return Tokens(jnp.asarray(ids), jnp.asarray(mask))


def is_set(prompt: str, labels: Sequence[str]) -> bool:
    """Whether a prompt names labels only."""
    return set(_names(prompt)) <= {label.lower() for label in labels}


def spell(prompt: str, labels: Sequence[str]) -> str:
    """A prompt of labels in their own spelling and order; any other one as it is, trimmed."""
    if is_set(prompt, labels):
        names = _names(prompt)
        return ", ".join(label for label in labels if label.lower() in names)
    return prompt.strip()


def label_sets(labels: Sequence[str]) -> list[str]:
    """All sets of labels, spelled; set number i holds label k where bit k of i is 1.

    Number 0 is the empty prompt.
    """
    return [
        ", ".join(label for k, label in enumerate(labels) if number >> k & 1)
        for number in range(2 ** len(labels))
    ]


def _names(prompt: str) -> list[str]:
    return [name for name in (part.strip().lower() for part in prompt.split(",")) if name]
