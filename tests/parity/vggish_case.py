"""What VGGish's recorder and its test share: a narrow network, a waveform, our answers by layer."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from gmsdi_jax.models import Pure, Vggish, VggishConfig
from gmsdi_jax.models.vggish import examples, halved, log_mel
from gmsdi_jax.types import Params

NARROW = VggishConfig(widths=((4,), (5,), (6, 7), (8, 9)), hidden=16, features=12)


def waveform() -> np.ndarray:
    """2.5 s at 16 kHz: a rising tone, clicks and noise, one part of them silent."""
    rng = np.random.default_rng(0)
    time = np.arange(40000) / 16000
    tone = 0.3 * np.sin(2 * np.pi * (80 + 1500 * time) * time)
    noise = 0.05 * rng.standard_normal(time.size) * (time > 1.2)
    wave = (tone + noise) * (np.abs(time - 0.6) > 0.1)
    wave[::4000] += 0.5
    return wave.astype(np.float32)


def module(config: VggishConfig) -> Pure[Vggish]:
    return Pure(lambda rngs: Vggish(config, rngs=rngs))


def answers(config: VggishConfig, params: Params, wave: np.ndarray) -> dict[str, np.ndarray]:
    """What every part answers in order, then whole networks, with the last ReLU and without."""
    params = jax.tree.map(jnp.asarray, params)
    found = {"log-mel": (mel := log_mel(wave)), "examples": (blocks := examples(mel, config.hop))}
    picture = jnp.asarray(blocks)[..., None]
    for i, stage in enumerate(module(config).bind(params).stages):
        found[f"stage {i}"] = picture = jax.jit(halved)(stage, picture)
    for name, relu_last in (("embedding", True), ("embedding, no ReLU", False)):
        whole = module(dataclasses.replace(config, relu_last=relu_last))
        run = jax.jit(lambda params, blocks, whole=whole: whole.bind(params)(blocks))
        found[name] = run(params, jnp.asarray(blocks))
    return {name: np.asarray(value) for name, value in found.items()}
