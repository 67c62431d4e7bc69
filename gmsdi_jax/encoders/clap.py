"""CLAP: audio or words become one unit vector in a space that both share."""

import zlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from gmsdi_jax.audio import read, resample
from gmsdi_jax.distributed import device_mesh, over_windows
from gmsdi_jax.encoders.folder import Encoder, load_encoder
from gmsdi_jax.encoders.rows import in_chunks
from gmsdi_jax.encoders.tokenizer import Tokenize, load_tokenizer
from gmsdi_jax.models import shift
from gmsdi_jax.types import Batch, Text

_WORDS = 77  # LAION trained with so many tokens
_ROWS_PER_DEVICE = 4


class ClapEncoder:
    """A frozen CLAP: strings or audio to `Text` of one token.

    In training the vector is the audio's own. Afterwards it may be that of an example, or of words;
    the two kinds of vectors lie apart in CLAP's space, and `gap` moves the words' to the audio's.
    """

    def __init__(
        self, encoder: Encoder, tokenize: Tokenize, gap: Float[np.ndarray, "2 d"] | None = None
    ):
        """`gap` holds the mean vector of texts and that of audio."""
        self._encoder, self._tokenize, self.gap = encoder, tokenize, gap
        self.digest, self.features = encoder.digest, encoder.config.joint

    @classmethod
    def from_folder(
        cls, folder: str | Path, gap: Float[np.ndarray, "2 d"] | None = None
    ) -> "ClapEncoder":
        """The encoder in a folder that ``gmsdi convert`` made.

        Raises:
            UnavailableError: weights or tokenizer are missing or damaged.
            ConfigError: the folder holds something else.
        """
        folder = Path(folder)
        encoder = load_encoder(folder, "clap")
        text = encoder.config.text
        tokenize = load_tokenizer(folder, _WORDS, pad=text.pad, vocabulary=text.vocabulary)
        return cls(encoder, tokenize, gap)

    def __call__(self, prompts: Sequence[str]) -> Text:
        """Vectors ``[n 1 d]`` of words, or of the sound of a file: ``"@violin.wav"``.

        That of an empty prompt does not count.

        Raises:
            InputError: a file cannot be read.
        """
        rate = self._encoder.config.mel.sample_rate
        vectors = self._words(["" if _is_file(prompt) else prompt for prompt in prompts])
        for row, prompt in zip(vectors, prompts, strict=True):
            if _is_file(prompt):
                sound, _ = read(prompt.strip()[1:], rate, mono=True)
                row[:] = np.asarray(self.audio(sound.T, rate).embedding)[0, 0]
        return _text(vectors, np.array([bool(prompt.strip()) for prompt in prompts]))

    def _words(self, prompts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        vectors = in_chunks(self._text, *self._tokenize(prompts))
        if self.gap is not None:
            vectors = shift(jnp.asarray(vectors), *map(jnp.asarray, self.gap))
        return np.array(vectors)

    def of_audio(self, sample_rate: int) -> Callable[[Batch], Batch]:
        """What gives a training batch the vectors of its own audio, at `sample_rate` (Hz)."""

        def embed(batch: Batch) -> Batch:
            mono = np.asarray(batch.audio).mean(-1)
            return batch._replace(prompt=self.audio(mono, sample_rate))

        return embed

    def audio(
        self,
        audio: Float[np.ndarray, "n t"],
        sample_rate: int,
        keys: Key[Array, " n"] | None = None,
    ) -> Text:
        """Vectors of mono audio of any length, ``[n 1 d]``.

        Longer audio than CLAP's ten seconds is heard in several crops by the rule in the encoder's
        configuration, the mean of evenly spaced ones unless it says otherwise.

        Args:
            audio: rows of samples, full scale = 1.
            sample_rate: theirs, Hz.
            keys: of each row's crops, where the rule draws them; by default made of the row's own
                samples, so that the same audio is always heard in the same crops.
        """
        rate = self._encoder.config.mel.sample_rate
        heard = np.stack([resample(row[:, None], sample_rate, rate)[:, 0] for row in audio])
        if keys is None and self._encoder.config.crops.rule == "keyed":
            seeds = [zlib.crc32(np.ascontiguousarray(row).tobytes()) for row in audio]
            keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
        drawn = () if keys is None else (np.asarray(jax.random.key_data(keys)),)
        rows = min(len(heard), _ROWS_PER_DEVICE * device_mesh().size)
        return _text(in_chunks(self._audio, heard, *drawn, rows=rows))

    @cached_property
    def _text(self):
        module, params = self._encoder.module, self._encoder.params
        run = jax.jit(lambda params, ids, mask: module.bind(params).text(ids, mask))
        return lambda ids, mask: run(params, ids, mask)

    @cached_property
    def _audio(self):
        module, params = self._encoder.module, self._encoder.params

        @jax.jit
        def run(params, *rows):
            def each(audio, data=None):
                keys = None if data is None else jax.random.wrap_key_data(data)
                return module.bind(params).any_audio(audio, keys)

            return over_windows(each, device_mesh())(*rows)

        return lambda *rows: run(params, *rows)


def modality_gap(
    texts: Float[np.ndarray, "n d"], audio: Float[np.ndarray, "m d"]
) -> Float[np.ndarray, "2 d"]:
    """The mean vector of texts and that of audio: what `ClapEncoder` takes as its gap."""
    return np.stack([texts.mean(0), audio.mean(0)])


def _is_file(prompt: str) -> bool:
    return prompt.strip().startswith("@")


def _text(vectors: Float[np.ndarray, "n d"], given: np.ndarray | None = None) -> Text:
    mask = np.ones(len(vectors), bool) if given is None else given
    return Text(vectors[:, None], mask[:, None])  # type: ignore[arg-type]
