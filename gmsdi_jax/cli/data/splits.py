"""The prepared splits that a command is pointed at."""

import os
from pathlib import Path

from gmsdi_jax.data import MANIFEST


def splits_in(folder: Path) -> list[Path]:
    """The folder itself or those in it that hold a split; also one that lost its manifest."""
    places = [folder, *sorted(path for path in folder.glob("*") if path.is_dir())]
    return [
        place
        for place in places
        if os.path.lexists(place / MANIFEST) or any(place.glob("*.array_record"))
    ]
