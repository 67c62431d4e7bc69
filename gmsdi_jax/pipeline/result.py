"""What a separation or a generation returns: stems, what is left, and how they were made."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gmsdi_jax.audio import write
from gmsdi_jax.errors import OutputError


@dataclass(frozen=True)
class Stems:
    """Named stems ``[t c]`` at one sample rate (Hz, full scale = 1)."""

    stems: dict[str, Float[np.ndarray, "t c"]]
    """By the names that were asked for."""
    sample_rate: int
    """Hz."""
    residual: Float[np.ndarray, "t c"] | None = None
    """Input less the sum of the stems; None where there was no input."""
    info: dict[str, Any] = field(default_factory=dict)
    """How it was made: settings, seed, model, evaluations per window."""

    @property
    def mix(self) -> Float[np.ndarray, "t c"]:
        """The sum of the stems, without the residual."""
        return np.sum(list(self.stems.values()), axis=0)

    def save(self, folder: str | Path, extension: str = "wav") -> list[Path]:
        """Writes every stem, ``residual`` or else ``mix``, and ``gmsdi.json``; returns the paths.

        Raises:
            OutputError: the folder cannot be written.
        """
        folder = Path(folder)
        last = {"mix": self.mix} if self.residual is None else {"residual": self.residual}
        paths = []
        for name, audio in {**self.stems, **last}.items():
            paths.append(folder / f"{file_name(name)}.{extension}")
            write(paths[-1], audio, self.sample_rate)
        return [*paths, save_info(folder, self.info)]


def file_name(stem: str) -> str:
    """A stem's prompt as a file name: ``"Acoustic Guitar"`` becomes ``acoustic-guitar``."""
    parts = "".join(c if c.isalnum() else " " for c in stem.lower()).split()
    return "-".join(parts) or "stem"


def save_info(folder: Path, info: dict[str, Any]) -> Path:
    """Writes ``gmsdi.json``, the provenance of the files beside it."""
    path = folder / "gmsdi.json"
    try:
        path.write_text(json.dumps(info, indent=2) + "\n")
    except OSError as error:
        raise OutputError(f"{path}: cannot write ({error.strerror})") from error
    return path


class Squares:
    """Energies of input, residual and of the error of their sum, kept while streaming."""

    def __init__(self):
        """Nothing was heard yet."""
        self._peak_error = 0.0
        self._input = self._residual = 0.0

    def add(self, audio: np.ndarray, stems: np.ndarray, residual: np.ndarray) -> None:
        """A block: the song ``[t c]``, its stems ``[k t c]`` and what they leave ``[t c]``."""
        error = audio.astype(np.float64) - stems.sum(0, np.float64) - residual
        self._peak_error = max(self._peak_error, float(np.abs(error).max(initial=0.0)))
        self._input += float(np.square(audio, dtype=np.float64).sum())
        self._residual += float(np.square(residual, dtype=np.float64).sum())

    @property
    def error_dbfs(self) -> float:
        """The largest sample of input - stems - residual, dB of full scale (floor -200)."""
        return round(20 * float(np.log10(max(self._peak_error, 1e-10))), 1)

    @property
    def residual_db(self) -> float:
        """The residual's energy relative to the input's, dB (floor -200)."""
        ratio = max(self._residual, 1e-20) / max(self._input, 1e-20)
        return round(10 * float(np.log10(ratio)), 1)
