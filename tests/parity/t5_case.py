"""What T5's recorder and its test share: two small encoders, texts, our answers by layer."""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from parity.clap_case import each

from gmsdi_jax.models.pure import Pure
from gmsdi_jax.models.t5 import T5, T5Config
from gmsdi_jax.types import Params

SMALL = T5Config(features=12, layers=3, heads=2, head_features=8, hidden=20, vocabulary=40)
CONFIGS = {"relu": SMALL, "gated": dataclasses.replace(SMALL, gated=True, epsilon=1e-3)}
"""Of t5-small's kind and of T5 v1.1's, which gets an epsilon that is not the default."""
LENGTHS = (8, 64, 150)
"""Tokens; the last is more than the largest distance that has a bucket of its own."""
LAYERED = 64
"""Tokens of the texts that are compared layer by layer."""
BUCKETS = ((32, 128), (8, 20), (64, 500))
"""Numbers of buckets, and the distances from which on all are in the last."""


def texts(config: T5Config, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Token numbers and which count: all of a text, part of one that is padded, and none."""
    ids = np.random.default_rng(length).integers(1, config.vocabulary, (3, length))
    counts = np.arange(length)[None] < np.array([length, length // 2 + 1, 0])[:, None]
    return np.where(counts, ids, 0).astype(np.int32), counts


def module(config: T5Config) -> Pure[T5]:
    """Our network as functions of its weights."""
    return Pure(lambda rngs: T5(config, rngs=rngs))


def answers(config: T5Config, length: int, params: Params) -> Iterator[tuple[str, jax.Array]]:
    """Every layer's output in order, of texts of `LAYERED` tokens; what the network answers."""
    ids, mask = map(jnp.asarray, texts(config, length))
    params = jax.tree.map(jnp.asarray, params)
    if length == LAYERED:
        t5 = module(config).bind(params)
        yield "tokens", (x := t5.embed(ids))
        through = jax.jit(lambda layer, x: layer(x, t5.bias(mask)))
        for i, layer in enumerate(each(t5.layers)):
            yield f"layer {i}", (x := through(layer, x))
    yield "states", jax.jit(lambda params: module(config).bind(params)(ids, mask))(params)
