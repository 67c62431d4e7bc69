"""What cells are computed from: a store, models and prepared data, each opened once."""

import hashlib
import json
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from gmsdi_jax import __version__
from gmsdi_jax.data import MANIFEST, Split, open_split
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.evaluate import check_same
from gmsdi_jax.pipeline import GMSDI, find_model

PROTOCOL = 1
"""Of cells: another number where the same settings come to mean something else."""
OnPart = Callable[[str], None]
"""Called before each song or piece is computed, with what it is."""


class Sources:
    """A store, the models and the prepared data of a sweep."""

    def __init__(
        self, store: Path, data: Path, model: str | Path, encoder: str | Path | None = None
    ):
        """Opens nothing yet.

        Raises:
            ConfigError: `data` is one split, where the folder of all splits is needed.
        """
        if (data / MANIFEST).exists():
            raise ConfigError(f"{data} is one split: name the folder above it, such as shards")
        self.store, self.data = store, data
        self._own, self._encoder = model, encoder
        self.split = lru_cache(None)(self._split)
        self.model = lru_cache(None)(self._model)

    def _model(self, name: str | None) -> GMSDI:
        """The command's own model, or the one that a cell names."""
        return GMSDI.from_pretrained(name or self._own, encoder=None if name else self._encoder)

    def _split(self, name: str) -> Split:
        return open_split(self.data / name)

    @cached_property
    def own_folder(self) -> Path:
        """Of the command's model."""
        return find_model(self._own)

    def fitting(self, model: GMSDI, split: str) -> Split:
        """A split whose labels and sample rate are the model's.

        Raises:
            UnavailableError: there is no such split.
            ConfigError: they are not the model's.
        """
        check_same(model.model, self.split(split))
        return self.split(split)

    def place(self, about: dict[str, Any]) -> Path:
        """The folder of a cell: the digest of all that its numbers depend on."""
        text = json.dumps(about, sort_keys=True)
        return self.store / hashlib.sha256(text.encode()).hexdigest()[:20]


def version() -> dict[str, Any]:
    """What every cell depends on."""
    return {"protocol": PROTOCOL, "gmsdi_jax": __version__}
