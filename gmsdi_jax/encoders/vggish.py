"""VGGish: audio becomes one embedding per 0.96 s."""

from functools import cached_property
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from gmsdi_jax.audio import resample
from gmsdi_jax.encoders.folder import Encoder, load_encoder
from gmsdi_jax.encoders.rows import in_chunks
from gmsdi_jax.models.vggish import SAMPLE_RATE, examples, log_mel


class VggishEncoder:
    """A frozen VGGish: clips to embeddings, for Fréchet audio distances."""

    def __init__(self, encoder: Encoder):
        """See `from_folder`."""
        self._encoder = encoder
        self.digest = encoder.digest

    @classmethod
    def from_folder(cls, folder: str | Path) -> "VggishEncoder":
        """The encoder in a folder that ``gmsdi convert`` made.

        Raises:
            UnavailableError: the weights are missing or damaged.
            ConfigError: the folder holds something else.
        """
        return cls(load_encoder(Path(folder), "vggish"))

    def audio(self, audio: Float[np.ndarray, "n t"], sample_rate: int) -> Float[np.ndarray, "m d"]:
        """The embeddings of all examples of all clips, one after the other.

        Args:
            audio: mono clips of one length, full scale = 1, of at least 0.975 s.
            sample_rate: theirs, Hz.

        Raises:
            ValueError: the clips are too short.
        """
        config = self._encoder.config
        heard = (resample(row[:, None], sample_rate, SAMPLE_RATE)[:, 0] for row in audio)
        blocks = [examples(log_mel(row, config.peak), config.hop) for row in heard]
        return in_chunks(self._apply, np.concatenate(blocks), rows=32)

    @cached_property
    def _apply(self):
        module, params = self._encoder.module, self._encoder.params
        run = jax.jit(lambda params, blocks: module.bind(params)(blocks))
        return lambda blocks: run(params, blocks)
