"""What CLAP's recorder and its test share: a small network, its inputs, our answers by layer."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gmsdi_jax.models.clap import (
    Clap,
    ClapConfig,
    HtsatConfig,
    MelConfig,
    RobertaConfig,
    log_mel,
)
from gmsdi_jax.models.pure import Pure
from gmsdi_jax.types import Params

# Masks are active in the first two stages; the last one is a single window. 251 frames become 256.
SMALL = ClapConfig(
    mel=MelConfig(sample_rate=8000, clip=15000, fft=256, hop=60, bands=16, high=3500.0),
    audio=HtsatConfig(side=64, features=8, depths=(2, 4, 2), heads=(2, 2, 4), window=4),
    text=RobertaConfig(vocabulary=50, positions=20, features=16, layers=3, heads=2, mlp=32),
    joint=12,
)
SECOND = MelConfig(clip=48000)
"""A second of audio through the published front end."""
LENGTHS = {"several repetitions": 4000, "one": 14999}
"""Samples of audio that is shorter than a clip."""


def waveforms(config: ClapConfig) -> np.ndarray:
    """Two clips: a rising tone over noise, and noise that fades until it is silence."""
    samples, rng = config.mel.clip, np.random.default_rng(0)
    time = np.linspace(0, 1, samples)
    noise = rng.standard_normal((2, samples))
    tone = 0.5 * np.sin(2 * np.pi * 0.1 * samples * time**2) + 0.01 * noise[0]
    fade = 0.3 * noise[1] * np.clip(1 - 1.25 * time, 0, 1) ** 4
    return np.stack([tone, fade]).astype(np.float32)


def texts(config: ClapConfig) -> tuple[np.ndarray, np.ndarray]:
    """Token numbers and which of them count: a text of nine tokens, and one of four and padding."""
    ids = np.random.default_rng(1).integers(3, config.text.vocabulary, (2, 9)).astype(np.int32)
    ids[:, 0], ids[0, -1], ids[1, 3], ids[1, 4:] = 0, 2, 2, config.text.pad
    return ids, ids != config.text.pad


def module(config: ClapConfig) -> Pure[Clap]:
    """Our network as functions of its weights."""
    return Pure(lambda rngs: Clap(config, rngs=rngs))


def answers(config: ClapConfig, params: Params) -> dict[str, jax.Array]:
    """Every layer's output, tokens in rows; a layer hears the one before it."""

    @jax.jit
    def run(params: Params, *inputs: jax.Array) -> dict[str, jax.Array]:
        return dict(_layers(module(config).bind(params), *inputs))

    inputs = map(jnp.asarray, (waveforms(config), *texts(config)))
    return run(jax.tree.map(jnp.asarray, params), *inputs)


def _layers(
    clap: Clap, wave: jax.Array, ids: jax.Array, mask: jax.Array
) -> Iterator[tuple[str, jax.Array]]:
    yield "log mel", (mel := log_mel(wave, clap.config.mel))
    yield "tokens", _rows(x := clap.audio_branch.tokens(mel))
    for number, stage in enumerate(clap.audio_branch.stages):
        for i, layer in enumerate(each(stage.layers)):
            yield f"stage {number} block {i}", _rows(x := layer(x, stage.shift if i % 2 else 0))
        if stage.merge is not None:
            yield f"stage {number} merged", _rows(x := stage.merge(x))
    yield "audio branch", clap.audio_branch.norm(x).mean((1, 2))
    yield "audio", clap.audio(wave)
    yield "text tokens", (x := clap.text_branch.embed(ids))
    for i, layer in enumerate(each(clap.text_branch.layers)):
        yield f"text layer {i}", (x := layer(x, mask))
    yield "text branch", jnp.tanh(clap.text_branch.pool(x[:, 0]))
    yield "text", clap.text(ids, mask)


def each(layers: nnx.Module) -> Iterator:
    """The layers of a stack, one by one."""
    graph, state = nnx.split(layers)
    count = len(jax.tree.leaves(state)[0])
    for i in range(count):
        yield nnx.merge(graph, jax.tree.map(lambda a, i=i: a[i], state))


def _rows(x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], -1, x.shape[-1])
