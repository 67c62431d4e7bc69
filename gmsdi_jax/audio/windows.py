"""Overlapping windows of a stream, and their overlap-add back into one signal.

A model hears a fixed window; a song has any length. `windows` cuts a stream of blocks into windows
that start every `hop` samples; the model works on each; `OverlapAdd` fades from each processed
window into the next and gives out samples as soon as no later window can change them. Both hold
about one window, so memory does not grow with the song.

The fade is a raised cosine over the overlap, divided by the sum of the weights of all windows at
that sample. Hence windows that nobody changed join into the input again, for every overlap, and
the outer edges of the first and the last window are not faded: only one window speaks there.

    stream = windows(blocks, plan(2**17, overlap=0.25))
    joined = OverlapAdd(stream.plan)
    for _, window in stream:
        write(joined.push(process(window)))
    write(joined.finish(stream.frames))
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32


@dataclass(frozen=True)
class WindowPlan:
    """Windows of `window` samples, one every `hop` samples."""

    window: int
    hop: int

    def __post_init__(self) -> None:
        if not 1 <= self.hop <= self.window:
            raise ValueError(f"need 1 <= hop <= window, got hop {self.hop}, window {self.window}")

    @property
    def weights(self) -> Float32[np.ndarray, "window"]:
        """Cross-fade weights of one window, all positive.

        Up to half overlap the weights of neighbours sum to one. `OverlapAdd` divides by their sum,
        which covers larger overlaps (three and more windows at a sample) and the outer edges.
        """
        fade = min(self.window - self.hop, self.window // 2)
        ramp = np.sin(0.5 * np.pi * (np.arange(fade) + 0.5) / max(fade, 1)) ** 2
        weights = np.ones(self.window, np.float32)
        weights[:fade] = ramp
        weights[self.window - fade :] = ramp[::-1]
        return weights

    def count(self, frames: int) -> int:
        """The number of windows that cover `frames` samples."""
        beyond_first = max(frames - self.window, 0)
        return 0 if frames == 0 else 1 + -(-beyond_first // self.hop)


def plan(window: int, overlap: float) -> WindowPlan:
    """The plan for windows of `window` samples whose neighbours share a fraction of their samples.

    Args:
        window: samples.
        overlap: fraction in [0, 1): 0.25 means that a quarter of each window is also in the next.

    Raises:
        ValueError: the fraction is not in [0, 1).
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap is a fraction in [0, 1), got {overlap}")
    return WindowPlan(window, max(1, round(window * (1 - overlap))))


class WindowStream(Iterator[tuple[int, Float32[np.ndarray, "window c"]]]):
    """The windows of a stream of blocks, in order, with their index."""

    def __init__(self, blocks: Iterable[Float[np.ndarray, "n c"]], plan: WindowPlan) -> None:
        self.plan = plan
        self.frames = 0
        """Samples taken from the blocks so far; the length of the signal once exhausted."""
        self._windows = self._split(blocks)

    def __next__(self) -> tuple[int, Float32[np.ndarray, "window c"]]:
        return next(self._windows)

    def _split(
        self, blocks: Iterable[Float[np.ndarray, "n c"]]
    ) -> Iterator[tuple[int, Float32[np.ndarray, "window c"]]]:
        window, hop = self.plan.window, self.plan.hop
        index = 0
        waiting = None
        for block in blocks:
            block = np.asarray(block, dtype=np.float32)
            self.frames += len(block)
            waiting = block if waiting is None else np.concatenate([waiting, block])
            while len(waiting) >= window:
                yield index, waiting[:window].copy()
                waiting = waiting[hop:]
                index += 1
        if waiting is not None and index < self.plan.count(self.frames):
            yield index, np.pad(waiting, ((0, window - len(waiting)), (0, 0)))


def windows(blocks: Iterable[Float[np.ndarray, "n c"]], plan: WindowPlan) -> WindowStream:
    """The windows of a signal that comes in blocks of any size, as pairs (index, [window c]).

    The last window is padded with silence; a signal shorter than a window is one padded window.
    Once exhausted, `frames` of the result is the length of the signal.
    """
    return WindowStream(blocks, plan)


class OverlapAdd:
    """Joins processed windows, given in order, into one signal with cross-fades.

    A window is any array [... window c]: a mixture [window c], or stems [k window c].
    """

    def __init__(self, plan: WindowPlan) -> None:
        self.plan = plan
        self._weights = plan.weights
        self._sum: Float32[np.ndarray, "... window c"] | None = None
        self._weight_sum = np.zeros(plan.window, np.float32)
        self._returned = 0

    def push(self, window: Float[np.ndarray, "... window c"]) -> Float32[np.ndarray, "... n c"]:
        """Add the next window and return the samples before its start, final now: `hop` or none.

        What starts with the window waits for the next one: only then is it known that the padding
        at the end of the signal is not among it.

        Raises:
            ValueError: the window has the wrong shape.
        """
        if window.ndim < 2 or window.shape[-2] != self.plan.window:
            raise ValueError(f"expected [... {self.plan.window} c], got shape {window.shape}")
        if self._sum is None:
            final = np.zeros((*window.shape[:-2], 0, window.shape[-1]), np.float32)
            self._sum = np.zeros(window.shape, np.float32)
        else:
            final = self._joined(self.plan.hop)
            self._sum = self._advance(self._sum, axis=-2)
            self._weight_sum = self._advance(self._weight_sum, axis=-1)
        self._sum += window.astype(np.float32, copy=False) * self._weights[:, None]
        self._weight_sum += self._weights
        self._returned += final.shape[-2]
        return final

    def finish(self, length: int) -> Float32[np.ndarray, "... n c"]:
        """The rest of a signal of `length` samples; call once, after the last window.

        Raises:
            ValueError: no window was pushed, or the windows do not cover `length` samples.
        """
        rest = length - self._returned
        if self._sum is None or not 0 <= rest <= self.plan.window:
            raise ValueError(f"the windows pushed do not cover a signal of {length} samples")
        self._returned = length
        return self._joined(rest)

    def _joined(self, frames: int) -> Float32[np.ndarray, "... n c"]:
        assert self._sum is not None
        return self._sum[..., :frames, :] / self._weight_sum[:frames, None]

    def _advance(self, array: Float32[np.ndarray, "..."], axis: int) -> Float32[np.ndarray, "..."]:
        """The array moved on by one hop, silence behind it."""
        kept = np.delete(array, slice(0, self.plan.hop), axis=axis)
        fill = [(0, 0)] * array.ndim
        fill[axis] = (0, self.plan.hop)
        return np.pad(kept, fill)
