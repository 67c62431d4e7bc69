"""CLAP: audio and text as unit vectors of one space, close where they mean the same.

Each branch's answer passes two linear layers with a ReLU and is scaled to length 1. Waveforms go in
as they are: the log-mel spectrogram is part of the network, so that embeddings can be computed
inside a training step, on the device, from crops that differ at every step.

Weights may be float32 or bfloat16; spectrogram, norms, softmax and the final scaling are float32 in
either case.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from gmsdi_jax.models.clap.config import ClapConfig
from gmsdi_jax.models.clap.crops import crops, mean_direction, unit
from gmsdi_jax.models.clap.htsat import Htsat
from gmsdi_jax.models.clap.mel import log_mel
from gmsdi_jax.models.clap.roberta import Roberta


class Clap(nnx.Module):
    """The two branches and their projections."""

    def __init__(self, config: ClapConfig, *, rngs: nnx.Rngs):
        """All weights, drawn from `rngs`, until published ones take their place."""
        self.config = config
        self.audio_branch = Htsat(config.audio, config.mel.bands, rngs=rngs)
        self.audio_projection = Projection(config.audio.final, config.joint, rngs=rngs)
        self.text_branch = Roberta(config.text, rngs=rngs)
        self.text_projection = Projection(config.text.features, config.joint, rngs=rngs)

    def audio(self, waveform: Float[Array, "b t"]) -> Float[Array, "b d"]:
        """Embeddings of clips of exactly `config.mel.clip` samples: ten seconds at 48 kHz.

        Raises:
            ValueError: the clips have another length.
        """
        if waveform.shape[-1] != self.config.mel.clip:
            raise ValueError(
                f"{waveform.shape[-1]} samples: a clip has {self.config.mel.clip}; any_audio takes "
                "every length"
            )
        answer = self.audio_branch(log_mel(waveform, self.config.mel))
        return unit(self.audio_projection(answer).astype(jnp.float32))

    def any_audio(
        self, waveform: Float[Array, "b t"], keys: Key[Array, " b"] | None = None
    ) -> Float[Array, "b d"]:
        """Embeddings of audio of any length at 48 kHz, by the rule of `config.crops`.

        `keys`, one per row, are needed by the rule ``keyed`` where the audio is longer than a clip.
        """
        clip, rule = self.config.mel.clip, self.config.crops
        if keys is None:
            clips = jax.vmap(lambda row: crops(row, clip, rule))(waveform)
        else:
            clips = jax.vmap(lambda row, key: crops(row, clip, rule, key))(waveform, keys)
        embeddings = self.audio(clips.reshape(-1, clip))
        return mean_direction(embeddings.reshape(*clips.shape[:2], -1))

    def text(self, ids: Int[Array, "b s"], mask: Bool[Array, "b s"]) -> Float[Array, "b d"]:
        """Embeddings of texts in RoBERTa's tokens, from ``<s>`` to ``</s>`` and then padding."""
        answer = self.text_branch(ids, mask)
        return unit(self.text_projection(answer).astype(jnp.float32))


class Projection(nnx.Module):
    """From a branch's answer into the joint space."""

    def __init__(self, features: int, joint: int, *, rngs: nnx.Rngs):
        """Both layers are `joint` wide."""
        self.first = nnx.Linear(features, joint, rngs=rngs)
        self.second = nnx.Linear(joint, joint, rngs=rngs)

    def __call__(self, x: Float[Array, "b d"]) -> Float[Array, "b e"]:
        """Not yet of length 1."""
        return self.second(jax.nn.relu(self.first(x)))
