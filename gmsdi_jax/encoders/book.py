"""What an encoder answered, kept beside a model: ``prompts.safetensors``.

A model on Slakh2100 is trained with at most sixteen different texts, one per set of labels. Their
embeddings are computed once, before training, and travel with the weights: the model then separates
and generates without the encoder. Any other words need the encoder itself, whose digest the book
knows, so that a different one is refused instead of believed.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gmsdi_jax.arrays import load_arrays, read_metadata, save_arrays
from gmsdi_jax.errors import ConfigError, UnavailableError
from gmsdi_jax.prompts import label_sets
from gmsdi_jax.types import Batch, Text, TextEncoder

BOOK = "prompts.safetensors"


class PromptBook:
    """A text encoder that looks prompts up, and asks the real one for those it does not hold."""

    def __init__(
        self, texts: dict[str, Text], digest: str = "", encoder: TextEncoder | None = None
    ):
        """`texts` are single rows ``[s d]`` by prompt, `digest` identifies who made them.

        Raises:
            ConfigError: `encoder` is not the one that made them.
        """
        own = getattr(encoder, "digest", digest)
        if texts and encoder is not None and own != digest:
            raise ConfigError(
                f"this encoder ({own[:12]}) is not the one that the model was trained with "
                f"({digest[:12]}): give that one, or none for the prompts {', '.join(texts)}"
            )
        self._texts, self.digest, self.encoder = dict(texts), own, encoder

    @classmethod
    def of_labels(cls, encoder: TextEncoder, labels: Sequence[str]) -> "PromptBook":
        """The book of all sets of labels, the empty one included."""
        sets = label_sets(labels)
        return cls(_by_prompt(sets, encoder(sets)), getattr(encoder, "digest", ""), encoder)

    @classmethod
    def load(cls, path: Path, encoder: TextEncoder | None = None) -> "PromptBook":
        """The book in a file; without one, an empty book in front of the encoder.

        Raises:
            UnavailableError: the file is damaged.
            ConfigError: `encoder` is not the one that made it.
        """
        if not path.exists():
            return cls({}, encoder=encoder)
        arrays, about = load_arrays(path), read_metadata(path)
        try:
            names = json.loads(about["prompts"])
            rows = zip(arrays["embedding"], np.asarray(arrays["mask"]) > 0, strict=True)
            texts = dict(zip(names, (Text(np.asarray(e), m) for e, m in rows), strict=True))  # type: ignore
        except (KeyError, ValueError) as error:
            raise UnavailableError(f"{path}: is no book of prompts ({error})") from error
        return cls(texts, about.get("encoder", ""), encoder)

    def save(self, path: Path) -> None:
        """Writes all prompts that the book holds, and whose answers they are.

        Raises:
            OutputError: the file cannot be written.
        """
        rows = self(list(self._texts))
        arrays = {"embedding": rows.embedding, "mask": rows.mask}
        about = {"prompts": json.dumps(list(self._texts)), "encoder": self.digest}
        save_arrays(path, arrays, metadata=about)

    def __call__(self, prompts: Sequence[str]) -> Text:
        """One row per prompt, on the host.

        Raises:
            UnavailableError: a prompt is not in the book and there is no encoder; the message says
                which ones are.
        """
        missing = sorted({prompt for prompt in prompts if prompt not in self._texts})
        if missing and self.encoder is None:
            held = ", ".join(repr(name) for name in self._texts if name)
            raise UnavailableError(
                f"prompt {missing[0]!r} needs the model's text encoder: name its folder with "
                f"--encoder; without it this model reads {held or 'no text'}"
            )
        if missing and self.encoder is not None:
            self._texts |= _by_prompt(missing, self.encoder(missing))
        found = [self._texts[prompt] for prompt in prompts]
        return Text(*(np.stack(leaves) for leaves in zip(*found, strict=True)))  # type: ignore

    def of_sets(self, labels: Sequence[str]) -> Callable[[Batch], Batch]:
        """What turns the labels of a training batch into the book's text of their set."""
        table = self(label_sets(labels))
        bits = 1 << np.arange(len(labels))

        def embed(batch: Batch) -> Batch:
            numbers = np.asarray(batch.prompt.mask) @ bits
            return batch._replace(prompt=Text(*(leaf[numbers] for leaf in table)))

        return embed


def _by_prompt(prompts: Sequence[str], rows: Text) -> dict[str, Text]:
    leaves = [np.asarray(leaf) for leaf in rows]
    return {prompt: Text(*(leaf[i] for leaf in leaves)) for i, prompt in enumerate(prompts)}  # type: ignore
