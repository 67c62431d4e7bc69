"""Fixed windows with their stems, to measure separation on: the same ones for every model."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from gmsdi_jax.data.manifest import ADVICE
from gmsdi_jax.data.records import to_float
from gmsdi_jax.data.shards import Split
from gmsdi_jax.data.windows import last_frames
from gmsdi_jax.errors import InputError, UnavailableError


class FixedWindows(NamedTuple):
    """Evaluation windows: the mixtures are the stored ones, equal to the sum of stems to 16 bits.

    ``track`` and ``start`` say where each comes from; ``start`` is in samples from the beginning of
    the track.
    """

    mixture: Float[np.ndarray, "b t c=1"]
    stems: Float[np.ndarray, "b k t c=1"]
    presence: Bool[np.ndarray, "b k"]
    track: tuple[str, ...]
    start: tuple[int, ...]


def fixed_windows(
    split: Split, window: int, count: int, seed: int = 0, *, min_active: int = 2
) -> FixedWindows:
    """Draws ``count`` windows in which at least ``min_active`` classes play.

    The draw visits the chunks in a random order and takes at most one window of each before it
    takes a second of any, so that the windows come from as many songs as there are. Windows of
    one chunk never start at the same place. The result depends on the data, the sizes and the
    seed alone; the first windows of a larger ``count`` are those of a smaller one.

    Args:
        split: Data prepared with stems.
        window: Samples per window, a multiple of the data set's hop.
        count: How many windows.
        seed: Of the draw.
        min_active: Fewest classes that must play; windows with one class need no separation.

    Raises:
        UnavailableError: The split was prepared without stems.
        InputError: It has fewer such windows than ``count``.
        ConfigError: The window does not fit the data.
    """
    settings = split.manifest.settings
    last = last_frames(split, window, inside=True)
    if not settings.stems:
        raise UnavailableError(f"{split.folder} holds no stems: {ADVICE} with stems for this split")
    rng = np.random.default_rng(seed)
    frames = window // settings.hop
    starts = [list(rng.permutation(n + 1)) for n in last]
    chosen: list[tuple[int, int, Bool[np.ndarray, " k"]]] = []
    while len(chosen) < count and any(starts):
        for number in rng.permutation(len(split)):
            while starts[number]:
                frame = int(starts[number].pop())
                present, _ = split.heard(int(number), frame, frames, settings.gate)
                if present.sum() >= min_active:
                    chosen.append((int(number), frame, present))
                    break
    if len(chosen) < count:
        message = f"{split.folder} has only {len(chosen)} windows with {min_active} active classes"
        raise InputError(f"{message}, not {count}")
    return _read(split, window, chosen[:count])


def _read(
    split: Split, window: int, places: list[tuple[int, int, Bool[np.ndarray, " k"]]]
) -> FixedWindows:
    """Reads the chosen windows with their stems."""
    settings = split.manifest.settings
    mixtures, stems, tracks, starts = [], [], [], []
    for number, frame, _ in places:
        start, track = frame * settings.hop, split.manifest.tracks[split.track_of[number]]
        mixtures.append(to_float(split.window(number, start, window)))
        stems.append(to_float(split.stems(number, start, window)))
        tracks.append(track.name)
        starts.append((number - track.first) * settings.chunk + start)
    return FixedWindows(
        np.stack(mixtures)[..., None],
        np.stack(stems)[..., None],
        np.stack([present for _, _, present in places]),
        tuple(tracks),
        tuple(starts),
    )
