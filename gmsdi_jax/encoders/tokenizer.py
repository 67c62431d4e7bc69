"""The tokenizer that lies in an encoder's folder."""

from pathlib import Path
from typing import Any

from gmsdi_jax.errors import UnavailableError


def load_tokenizer(folder: Path) -> Any:
    """A tokenizer of the transformers library, from files alone.

    Raises:
        UnavailableError: there is none, or it cannot be read.
    """
    from transformers import AutoTokenizer  # takes seconds to import; most commands need none

    if not (folder / "tokenizer.json").exists():
        raise UnavailableError(
            f"{folder}: no tokenizer.json; copy it there from where the weights were published"
        )
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise UnavailableError(f"{folder}: the tokenizer cannot be read ({error})") from error
