"""Separation of a whole song as one state, instead of window by window.

The counterpart of `gmsdi_jax.pipeline.stream.separate_blocks` for songs that fit in memory:
overlapping windows share their noise and agree at every step of the sampler, so that what is
sampled in one window goes on in the next.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from jaxtyping import Float

from gmsdi_jax.audio import StreamResampler, plan
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.pipeline.stream import WindowSeparator

MAX_SECONDS = 1200.0
"""Longest song. Four stems by `project` take about 0.3 GiB for each minute of each channel."""


def joined_blocks(
    separator: WindowSeparator,
    blocks: Iterable[Float[np.ndarray, "n c"]],
    sample_rate: int,
    channels: int,
    overlap: float = 0.25,
    on_window: Callable[[int], None] = lambda done: None,
) -> Iterator[Float[np.ndarray, "k n c"]]:
    """Stems at the song's own rate and exact length, in one block; arguments as there.

    Raises:
        ConfigError: the song is longer than 1200 s, or `overlap` is not in [0, 1).
    """
    if not 0 <= overlap < 1:
        raise ConfigError(f"overlap is {overlap}: take at least 0 and less than 1")
    song = _in_memory(blocks, sample_rate, channels)
    if not len(song):
        return
    rate, k = separator.model.config.sample_rate, len(separator.stems)
    narrow = StreamResampler(sample_rate, rate, channels).push(song, last=True)
    stems = separator.joined(narrow, overlap) if len(narrow) else np.zeros((k, 0, channels))
    flat = np.moveaxis(stems, 0, 1).reshape(len(narrow), k * channels).astype(np.float32)
    wide = StreamResampler(rate, sample_rate, k * channels).push(flat, last=True)[: len(song)]
    wide = np.pad(wide, ((0, len(song) - len(wide)), (0, 0)))
    on_window(plan(separator.model.config.window, overlap).count(len(narrow)))
    yield np.moveaxis(wide.reshape(len(song), k, channels), 1, 0)


def _in_memory(
    blocks: Iterable[Float[np.ndarray, "n c"]], sample_rate: int, channels: int
) -> Float[np.ndarray, "t c"]:
    """All blocks as one; refuses a song at the limit, not after its end."""
    parts, frames = [np.zeros((0, channels), np.float32)], 0
    for block in blocks:
        parts.append(block)
        frames += len(block)
        if frames > MAX_SECONDS * sample_rate:
            raise ConfigError(
                f"the song is longer than {MAX_SECONDS:g} s: joined separation takes at most "
                f"{MAX_SECONDS:g} s at a time, leave it out or cut the song"
            )
    return np.concatenate(parts)
