"""A module as pure functions of a plain nested dict of arrays.

The dict is all that checkpoints, optimizers and converters see; the module itself is never held
with weights in it, so `jax.jit`, `jax.grad`, `jax.vmap` and `jax.lax.scan` apply to it as to any
function.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Generic, TypeVar

import jax
from flax import nnx
from jaxtyping import Array, Key

from gmsdi_jax.types import Params

M = TypeVar("M", bound=nnx.Module)


class Pure(Generic[M]):
    """The functions of a module that `make` builds; nothing is allocated until asked for."""

    def __init__(self, make: Callable[[nnx.Rngs], M]):
        """`make` gets the random streams of a fresh module."""
        self._make = make

    def init(self, key: Key[Array, ""]) -> Params:
        """Fresh weights."""
        state = nnx.split(self._make(nnx.Rngs(key)), nnx.Param)[1]
        return nnx.to_pure_dict(state)

    @cached_property
    def shapes(self) -> Params:
        """The weights' shapes and types, computed without weights."""
        return jax.eval_shape(self.init, jax.random.key(0))

    def bind(self, params: Params) -> M:
        """The module with these weights, to be called inside a pure function of them."""
        return nnx.merge(self._graph, params)

    @cached_property
    def _graph(self) -> nnx.GraphDef[M]:
        return nnx.split(nnx.eval_shape(lambda: self._make(nnx.Rngs(0))), nnx.Param)[0]
