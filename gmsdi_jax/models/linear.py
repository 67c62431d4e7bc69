"""Linear maps of signals, channels last: pointwise, convolution, transposed convolution.

Kernels and biases start where PyTorch's do, uniform within ±1/sqrt(fan-in), because the published
networks were trained from there. Weights are float32; `dtype` is the type of the arithmetic and of
the answer.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key


def linear(
    features: int, out: int, *, bias: bool = True, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
) -> nnx.Linear:
    """A map of each position's features."""
    start = _uniform(features)
    return nnx.Linear(
        features, out, use_bias=bias, dtype=dtype, kernel_init=start, bias_init=start, rngs=rngs
    )


def conv(
    features: int,
    out: int,
    taps: int,
    *,
    stride: int = 1,
    dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """A convolution of an odd number of taps: every `stride`-th position, zeros around the ends."""
    start, reach = _uniform(features * taps), taps // 2
    return nnx.Conv(
        features,
        out,
        (taps,),
        strides=(stride,),
        padding=[(reach, reach)],
        dtype=dtype,
        kernel_init=start,
        bias_init=start,
        rngs=rngs,
    )


class TransposedConv(nnx.Module):
    """A transposed convolution of twice `factor` taps that raises the rate by `factor`.

    An input reaches ``2 factor`` outputs, in two runs of `factor`: one matrix product gives both,
    and each run of outputs is the sum of an input's first and its predecessor's second. TPUs run
    this ten times faster than the general transposed convolution.
    """

    def __init__(
        self,
        features: int,
        out: int,
        factor: int,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        """The kernel is ordered [features, taps, out], as the matrix product wants it."""
        start = _uniform(2 * factor * out)  # PyTorch counts an input's reach here
        self.factor, self.dtype = factor, dtype
        self.kernel = nnx.Param(start(rngs.params(), (features, 2 * factor, out)))
        self.bias = nnx.Param(start(rngs.params(), (out,)))

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b m e"]:
        """`factor` positions for each one that came in."""
        kernel, bias = self.kernel[...].astype(self.dtype), self.bias[...].astype(self.dtype)
        runs = jnp.einsum("bnd,dke->bnke", x.astype(self.dtype), kernel)
        first, second = jnp.split(runs, 2, 2)
        after, before = ((0, 0), (0, 1), (0, 0), (0, 0)), ((0, 0), (1, 0), (0, 0), (0, 0))
        joined = jnp.pad(first, after) + jnp.pad(second, before)
        whole = joined.reshape(len(x), -1, kernel.shape[-1])
        cut = (self.factor + 1) // 2
        return whole[:, cut : cut + x.shape[1] * self.factor] + bias[None, None]


def _uniform(fan_in: int) -> nnx.Initializer:
    """PyTorch's default."""
    bound = fan_in**-0.5

    def init(key: Key[Array, ""], shape: Sequence[int], dtype: DTypeLike = jnp.float32, **_):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
