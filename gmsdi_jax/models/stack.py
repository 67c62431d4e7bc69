"""Equal layers as one module whose weights have a leading axis, run by `jax.lax.scan`.

A compiler then sees one layer instead of twelve, and a checkpoint holds one array for all of them.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
from flax import nnx
from jaxtyping import Array

M = TypeVar("M", bound=nnx.Module)


def stack(make: Callable[[nnx.Rngs], M], count: int, rngs: nnx.Rngs) -> M:
    """`count` layers, each with fresh weights of its own."""
    return nnx.split_rngs(splits=count)(nnx.vmap(make))(rngs)


def run(layers: M, x: Array, *ways: Callable[[M, Array], Array]) -> Array:
    """`x` through all layers, layer ``i`` being called by ``ways[i % len(ways)]``."""
    graph, state = nnx.split(layers)
    groups = jax.tree.map(lambda a: a.reshape(-1, len(ways), *a.shape[1:]), nnx.to_pure_dict(state))

    def step(x: Array, group: dict) -> tuple[Array, None]:
        for i, way in enumerate(ways):
            x = way(nnx.merge(graph, jax.tree.map(lambda a, i=i: a[i], group)), x)
        return x, None

    return jax.lax.scan(step, x, groups)[0]
