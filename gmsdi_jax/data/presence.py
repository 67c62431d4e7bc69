"""Who is playing now: labels of a window, from the levels of the class stems.

Slakh2100 selected only songs that hold all four classes, so labels per *track* are the same for
every track and teach nothing. Labels here belong to a *window*: a class is present when the root
mean square of its stem over the window reaches a gate. The data set keeps the mean square of each
class stem per frame (one number per ``hop`` samples), so that any run of whole frames can be
labelled without reading a stem.

The default gate, -47 dBFS, is the activity gate of MSDM's evaluation at its windows of 4 s: the
``is_silent`` of its code asks for ``norm(x) / N < 1.5e-5``, a threshold on the rms that depends on
the length; we keep the value and drop the dependence.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Float

GATE = 0.0045
"""Root mean square from which a class counts as playing (full scale = 1)."""

EMPTY = "none"
"""The name of the label set of a window in which no class reaches the gate."""


def frame_levels(stems: Float[np.ndarray, "k t"], hop: int) -> Float[np.ndarray, "k frames"]:
    """Mean square of each stem per frame of ``hop`` samples (full scale = 1); whole frames only."""
    frames = stems.reshape(stems.shape[0], -1, hop)
    return np.einsum("kfh,kfh->kf", frames, frames, dtype=np.float32) / np.float32(hop)


def presence(levels: Float[np.ndarray, "*k frames"], gate: float) -> Bool[np.ndarray, "*k"]:
    """Which labels sound in a window: rms over all its frames at or above ``gate``."""
    return levels.mean(axis=-1) >= gate * gate


def label_sets(
    windows: Iterable[Bool[np.ndarray, "n k"]], labels: Sequence[str], most: int = 100
) -> dict[str, int]:
    """Histogram of the label sets of windows, commonest first; of many sets only the ``most``.

    A set is written like ``Bass+Drums``; windows in which nothing plays count as ``none``, and the
    sets that are left out as ``...``.
    """
    counts: Counter[bytes] = Counter()
    for present in windows:
        packed, numbers = np.unique(np.packbits(present, axis=1), axis=0, return_counts=True)
        counts.update({row.tobytes(): int(n) for row, n in zip(packed, numbers, strict=True)})
    named = {}
    for key, number in counts.most_common(most):
        present = np.unpackbits(np.frombuffer(key, np.uint8), count=len(labels)).astype(bool)
        named["+".join(np.asarray(labels, object)[present]) or EMPTY] = number
    rest = sum(counts.values()) - sum(named.values())
    return named | ({"...": rest} if rest else {})
