"""CLAP's audio branch: HTSAT, a Swin transformer on a spectrogram folded into a square.

1001 frames of 64 bands become 1024 by bicubic interpolation, are cut into four stretches of time,
and these are laid on top of each other: a square of 256 x 256, in tokens of 4 x 4. Four stages of
blocks follow; in a block tokens see each other within windows of 8 x 8, which every second block
shifts by half a window. Between stages 2 x 2 tokens become one of twice the size. The answer is the
mean token. (Chen et al., "HTS-AT", ICASSP 2022; the network is inference only.)

Nothing is gathered: windows, shifts and relative positions are reshapes and slices, and what does
not depend on weights is computed by NumPy while the network is compiled.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from gmsdi_jax.models.clap.config import HtsatConfig
from gmsdi_jax.models.clap.mel import exact
from gmsdi_jax.models.norms import EPSILON, LayerNorm, row
from gmsdi_jax.models.stack import run, stack

APART = -100.0
"""Added to the logits of tokens that a shifted window only seems to join, as in published code."""


class Htsat(nnx.Module):
    """Log-mel spectrograms to one vector each."""

    def __init__(self, config: HtsatConfig, bands: int, *, rngs: nnx.Rngs):
        """`bands` divides the square's side."""
        self.config, self.bands = config, bands
        self.norm_bands = FrozenBatchNorm(bands)
        self.embed = nnx.Linear(config.patch**2, config.features, rngs=rngs)
        self.norm_tokens = LayerNorm(config.features, bias=True)
        stages = range(len(config.depths))
        self.stages = nnx.List([Stage(config, stage, rngs=rngs) for stage in stages])
        self.norm = LayerNorm(config.final, bias=True)

    def __call__(self, mel: Float[Array, "b n m"]) -> Float[Array, "b d"]:
        """The mean of the last stage's tokens; frames may be fewer than fill the square."""
        x = self.tokens(mel)
        for stage in self.stages:
            x = stage(x)
        return self.norm(x).mean((1, 2))

    def tokens(self, mel: Float[Array, "b n m"]) -> Float[Array, "b h w d"]:
        """The first stage's tokens."""
        x = self.norm_bands(mel)
        frames = self.config.side**2 // self.bands
        x = exact("tn,bnm->btm", stretch(mel.shape[1], frames), x)
        return self.norm_tokens(self.embed(self._patches(x.astype(self.embed.kernel.dtype))))

    def _patches(self, x: Float[Array, "b t m"]) -> Float[Array, "b h w p"]:
        """The square's tokens: its rows are stretches of time, and within one the bands."""
        patch, side = self.config.patch, self.config.tokens(0)
        x = x.reshape(x.shape[0], -1, side, patch, self.bands // patch, patch)
        return x.transpose(0, 1, 4, 2, 5, 3).reshape(x.shape[0], side, side, patch**2)


class Stage(nnx.Module):
    """Blocks, alternately on windows and on shifted ones, then a quarter of the tokens."""

    def __init__(self, config: HtsatConfig, stage: int, *, rngs: nnx.Rngs):
        """`stage` counts from the finest; the last one keeps its tokens."""
        features, side = config.features * 2**stage, config.tokens(stage)
        self.window = min(config.window, side)
        # One window that holds everything has nothing to shift.
        self.shift = 0 if self.window == side else self.window // 2
        sizes = (features, config.heads[stage], self.window, config.mlp)
        self.layers = stack(lambda rngs: Block(*sizes, rngs=rngs), config.depths[stage], rngs)
        last = stage == len(config.depths) - 1
        self.merge = None if last else Merge(features, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w d"]) -> Float[Array, "b i j e"]:
        """Half as many tokens per side, of twice the size; in the last stage as they came."""
        x = run(self.layers, x, Block.__call__, lambda block, x: block(x, self.shift))
        return x if self.merge is None else self.merge(x)


class Block(nnx.Module):
    """Attention within windows and a feed-forward network, each with a norm and a residual."""

    def __init__(self, features: int, heads: int, window: int, mlp: int, *, rngs: nnx.Rngs):
        """The feed-forward layer is `mlp` times as wide."""
        self.norm1 = LayerNorm(features, bias=True)
        self.attention = WindowAttention(features, heads, window, rngs=rngs)
        self.norm2 = LayerNorm(features, bias=True)
        self.up = nnx.Linear(features, mlp * features, rngs=rngs)
        self.down = nnx.Linear(mlp * features, features, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w d"], shift: int = 0) -> Float[Array, "b h w d"]:
        """The tokens after the block, whose windows begin `shift` tokens further down and right."""
        h = self.norm1(x)
        if shift:
            h = jnp.roll(h, (-shift, -shift), (1, 2))
        h = self.attention(h, shift)
        if shift:
            h = jnp.roll(h, (shift, shift), (1, 2))
        x = x + h
        return x + self.down(jax.nn.gelu(self.up(self.norm2(x)), approximate=False))


class WindowAttention(nnx.Module):
    """Self-attention of the tokens of a window, with a learned bias for each relative position."""

    def __init__(self, features: int, heads: int, window: int, *, rngs: nnx.Rngs):
        """The table of biases has a row for each of ``(2 window - 1)**2`` distances."""
        self.heads, self.window = heads, window
        self.qkv = nnx.Linear(features, 3 * features, rngs=rngs)
        small = nnx.initializers.truncated_normal(0.02)
        self.table = nnx.Param(small(rngs.params(), ((2 * window - 1) ** 2, heads)))
        self.out = nnx.Linear(features, features, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w d"], shift: int = 0) -> Float[Array, "b h w d"]:
        """What the tokens of each window say to each other; `shift` is how far `x` was rolled."""
        windows = to_windows(x, self.window)
        qkv = self.qkv(windows).reshape(*windows.shape[:3], 3, self.heads, -1)
        query, key, value = qkv[..., 0, :, :], qkv[..., 1, :, :], qkv[..., 2, :, :]
        query = query * query.shape[-1] ** -0.5
        logits = jnp.einsum("bnlhd,bnmhd->bnhlm", query, key) + self.bias()[None, None]
        logits = logits.astype(jnp.float32)
        if shift:
            logits = logits + strangers(x.shape[1], self.window, shift)[None, :, None]
        weights = jax.nn.softmax(logits, -1).astype(value.dtype)
        mixed = jnp.einsum("bnhlm,bnmhd->bnlhd", weights, value).reshape(windows.shape)
        return from_windows(self.out(mixed), x.shape[1])

    def bias(self) -> Float[Array, "h l l"]:
        """The table by query and key: row ``query - key + window - 1`` in either direction."""
        w = self.window
        table = self.table[...].reshape(2 * w - 1, 2 * w - 1, self.heads)
        down = jnp.stack([table[i : i + w][::-1] for i in range(w)])
        both = jnp.stack([down[:, :, i : i + w][:, :, ::-1] for i in range(w)], 1)
        return both.transpose(4, 0, 1, 2, 3).reshape(self.heads, w * w, w * w)


class Merge(nnx.Module):
    """2 x 2 tokens side by side as one, normed and reduced to twice a token's size."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        """`features` of a token that comes in."""
        self.norm = LayerNorm(4 * features, bias=True)
        self.reduce = nnx.Linear(4 * features, 2 * features, use_bias=False, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w d"]) -> Float[Array, "b i j e"]:
        """A quarter of the tokens; the lower neighbour comes before the right one."""
        b, h, w, d = x.shape
        quads = x.reshape(b, h // 2, 2, w // 2, 2, d).transpose(0, 1, 3, 4, 2, 5)
        return self.reduce(self.norm(quads.reshape(b, h // 2, w // 2, 4 * d)))


def to_windows(x: Float[Array, "b h w d"], window: int) -> Float[Array, "b n l d"]:
    """The square's windows, row by row, and their tokens, row by row."""
    b, h, w, d = x.shape
    x = x.reshape(b, h // window, window, w // window, window, d)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, -1, window**2, d)


def from_windows(x: Float[Array, "b n l d"], side: int) -> Float[Array, "b h w d"]:
    """The inverse of `to_windows`."""
    b, _, length, d = x.shape
    window, count = round(length**0.5), round(side / length**0.5)
    x = x.reshape(b, count, count, window, window, d)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, side, side, d)


def strangers(side: int, window: int, shift: int) -> Float[np.ndarray, "n l l"]:
    """`APART` where two tokens of a window are neighbours only because the square was rolled."""
    region = np.zeros(side, np.float32)
    region[-window:], region[-shift:] = 1, 2  # rolled, the last window is half of the other edge
    square = (3 * region[:, None] + region)[None, :, :, None]
    n = side // window
    regions = square.reshape(n, window, n, window).transpose(0, 2, 1, 3).reshape(n * n, window**2)
    return np.where(regions[:, :, None] == regions[:, None], 0, APART).astype(np.float32)


def stretch(length: int, out: int) -> Float[np.ndarray, "out length"]:
    """Bicubic interpolation to `out` samples as a matrix, first and last samples kept in place.

    PyTorch's (``align_corners=True``): Keys' kernel with a = -0.75, edges repeated, and positions
    rounded to float32, which for a thousand frames is seen in the fourth digit of their fraction.
    """
    if length == out:
        return np.eye(out, dtype=np.float32)
    where = np.arange(out, dtype=np.float32) * np.float32((length - 1) / (out - 1))
    first = np.floor(where).astype(int)
    offset = (where - first.astype(np.float32)).astype(np.float64)
    matrix, rows = np.zeros((out, length)), np.arange(out)
    for tap in range(-1, 3):
        columns = np.clip(first + tap, 0, length - 1)
        np.add.at(matrix, (rows, columns), _keys(np.abs(tap - offset)))
    return matrix.astype(np.float32)


def _keys(x: np.ndarray, a: float = -0.75) -> np.ndarray:
    """Keys' cubic convolution kernel at distance `x` (IEEE ASSP 29, 1981)."""
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    return np.where(x <= 1, near, a * (x**3 - 5 * x**2 + 8 * x - 4))


class FrozenBatchNorm(nnx.Module):
    """Batch normalisation as it was at the end of training: its statistics are weights."""

    def __init__(self, features: int):
        """Starts as the identity."""
        self.mean, self.variance = nnx.Param(jnp.zeros(features)), nnx.Param(jnp.ones(features))
        self.scale, self.bias = nnx.Param(jnp.ones(features)), nnx.Param(jnp.zeros(features))

    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        """The normed features, float32."""
        gain = row(self.scale, x) * jax.lax.rsqrt(row(self.variance, x) + EPSILON)
        return (x.astype(jnp.float32) - row(self.mean, x)) * gain + row(self.bias, x)
