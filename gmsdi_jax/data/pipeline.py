"""Training batches: random windows of mixtures, labelled by who plays in them.

Grain shuffles the chunks of a split for ever. A random map then makes one example of each chunk:
crop a window on the frames of the levels, label it by the gate, redraw it while nothing plays, give
it a gain and a sign. With probability ``mixing`` a second window whose labels are *disjoint* from
the first's becomes its interference: asking for the first by its labels is then a task with a right
answer, though no stem is ever read. (Within one window's label set nothing in a denoising loss says
which label owns which sound.) Without mixing this is the recipe of the paper.

The order of the pipeline matters. The random map stands *before* the slice that gives each process
its rows, so the global batch does not depend on the number of processes; after the slice, all
processes would draw the same random numbers. Each example draws all its randomness from the
generator that Grain derives from the seed and the example's number: a batch is reproducible bit for
bit and does not depend on threads. Choosing windows looks only at the levels, which are
memory-mapped; audio is read once the choice is made.

The state of the iterator is the plain dict ``{"next_index": n}``: ``get_state()`` gives it,
``set_state(...)`` on an iterator made with the same arguments goes on with batch ``n``. It counts
global batches and is therefore the same number on every process, whatever their number.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import grain
import numpy as np
from jaxtyping import Bool, Float, Int

from gmsdi_jax.data.presence import presence
from gmsdi_jax.data.shards import Split
from gmsdi_jax.errors import ConfigError, InputError
from gmsdi_jax.types import Batch, Tokens

_OFFSETS_PER_CHUNK = 4
_TARGETS = 8
_TRIES_NOT_EMPTY = 2000
_READ = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)


@dataclass(frozen=True)
class WindowConfig:
    """How examples are made of a split; the defaults are the paper's recipe, without extras.

    Raises:
        ConfigError: A value is out of range.
    """

    gate: float | None = None
    """Root mean square from which a class counts as playing; None takes the data set's own gate."""
    gain_db: tuple[float, float] = (0.0, 0.0)
    """Range of the random gain of every window, in dB, uniform; presence is judged before it."""
    polarity: bool = False
    """Whether to flip the sign of every other window, at random."""
    mixing: float = 0.0
    """Share of examples that get a label-disjoint second window as interference; 0 is the paper.

    Mixed examples redraw both windows until they are disjoint, so they hold fewer labels than
    plain ones; where the draws find no pair the example stays plain.
    """
    min_labels: int = 1
    """Fewest labels of both windows of a mixed example; 2 keeps solo windows out of the pairs.

    Plain examples are not bound by it; a first share of 0 in ``balance`` keeps solos out of those.
    """
    balance: tuple[float, ...] = ()
    """Shares of windows with 1, 2, 3, ... labels, such as .5 .25 .15 .1; empty: as they come."""
    tries: int = 50
    """Draws for a window of the wanted number of labels, and for a partner, before giving up."""

    def __post_init__(self) -> None:
        if not 0 <= self.mixing <= 1:
            raise ConfigError(f"mixing must lie in 0 to 1, not {self.mixing}")
        if self.gain_db[0] > self.gain_db[1]:
            raise ConfigError(f"gain_db must be (lowest, highest), not {self.gain_db}")
        if self.min_labels < 1 or self.tries < 1:
            raise ConfigError("min_labels and tries must be at least 1")
        if self.balance and (min(self.balance) < 0 or sum(self.balance) <= 0):
            raise ConfigError(f"balance must be shares of which one is positive: {self.balance}")
        if self.gate is not None and self.gate < 0:
            raise ConfigError(f"gate must not be negative, not {self.gate}")


class Place(NamedTuple):
    """A window that was chosen but not read: where it is and who plays in it."""

    record: int
    frame: int
    present: Bool[np.ndarray, " k"]


Accept = Callable[[Bool[np.ndarray, " k"]], bool]


class RandomWindows(grain.transforms.RandomMap):
    """Makes one example, without a batch axis, of a number below ``len(self.records)``.

    ``records`` are the chunks that hold a whole window: of the last chunk of a track there may be
    too little before the padding.

    Raises:
        ConfigError: The window does not fit the chunks or the recipe does not fit the labels.
        InputError: No track is as long as the window.
    """

    def __init__(self, split: Split, window: int, config: WindowConfig) -> None:
        settings = split.manifest.settings
        labels = len(settings.labels)
        if config.mixing > 0 and 2 * config.min_labels > labels:
            message = f"min_labels {config.min_labels} leaves no disjoint pair of {labels} labels"
            raise ConfigError(message)
        if len(config.balance) > labels:
            raise ConfigError(f"balance has {len(config.balance)} shares for {labels} labels")
        self.split, self.window, self.config = split, window, config
        self._hop, self._frames = settings.hop, window // settings.hop
        self._gate = settings.gate if config.gate is None else config.gate
        self._shares = _shares(config.balance, labels)
        self._last = last_frames(split, window)
        self.records = np.flatnonzero(self._last >= 0)
        self._ids = np.arange(labels, dtype=np.int32)

    def random_map(self, element: int, rng: np.random.Generator) -> Batch:
        """The example of chunk ``records[element]``: audio and interference [t c], tokens [s]."""
        first, pair = int(self.records[element]), None
        if rng.random() < self.config.mixing:
            pair = self._pair(first, rng)
        target, partner = pair or (self._single(first, rng), None)
        audio = self._read(target, rng)
        interference = np.zeros_like(audio) if partner is None else self._read(partner, rng)
        # Batch names JAX arrays; the host's arrays stand in until they go to the devices.
        host: tuple[Any, ...] = (audio, interference, self._ids, target.present)
        return Batch(host[0], host[1], Tokens(host[2], host[3]))

    def _single(self, first: int, rng: np.random.Generator) -> Place:
        """A window in which something plays, with as many labels as ``balance`` asks for."""
        if self.config.balance:
            wanted = rng.choice(len(self._shares), p=self._shares) + 1
            place = self._draw(first, rng, lambda p: int(p.sum()) == wanted, self.config.tries)
            if place is not None:
                return place
        place = self._draw(first, rng, lambda p: bool(p.any()), _TRIES_NOT_EMPTY)
        if place is None:
            raise InputError(f"{self.split.folder}: no window reaches the gate {self._gate}")
        return place

    def _pair(self, first: int, rng: np.random.Generator) -> tuple[Place, Place] | None:
        """Two windows without a common label, or None where the draws find none."""
        least, most = self.config.min_labels, len(self._ids) - self.config.min_labels
        shares = self._shares[least - 1 : most]
        if self.config.balance and shares.sum() > 0:
            least = most = least + int(rng.choice(len(shares), p=shares / shares.sum()))
        for _ in range(_TARGETS):
            target = self._draw(first, rng, lambda p: least <= p.sum() <= most, self.config.tries)
            if target is None:
                return None
            partner = self._partner(target, rng)
            if partner is not None:
                return target, partner
            first = self._any(rng)
        return None

    def _partner(self, target: Place, rng: np.random.Generator) -> Place | None:
        """A window of any chunk that shares no label with ``target``."""

        def disjoint(present: Bool[np.ndarray, " k"]) -> bool:
            return present.sum() >= self.config.min_labels and not (present & target.present).any()

        return self._draw(self._any(rng), rng, disjoint, self.config.tries)

    def _any(self, rng: np.random.Generator) -> int:
        """The number of some record that holds a window."""
        return int(rng.choice(self.records))

    def _draw(
        self, first: int, rng: np.random.Generator, accept: Accept, tries: int
    ) -> Place | None:
        """Draws windows, a few of chunk ``first`` and then of others, until one is accepted."""
        record = first
        for attempt in range(tries):
            if attempt >= _OFFSETS_PER_CHUNK:
                record = self._any(rng)
            frame = int(rng.integers(self._last[record] + 1))
            levels = self.split.levels[record, :, frame : frame + self._frames]
            present = presence(levels, self._gate)
            if accept(present):
                return Place(record, frame, present)
        return None

    def _read(self, place: Place, rng: np.random.Generator) -> Float[np.ndarray, "t c=1"]:
        """The audio of a window with a random gain and sign; converts only what was cropped."""
        factor = 10 ** (rng.uniform(*self.config.gain_db) / 20) / 32768
        if self.config.polarity and rng.random() < 0.5:
            factor = -factor
        start = place.frame * self._hop
        mixture = self.split[place.record].mixture[start : start + self.window]
        return (mixture.astype(np.float32) * np.float32(factor))[:, None]


def training_batches(
    split: Split,
    window: int,
    batch: int,
    seed: int,
    config: WindowConfig = WindowConfig(),
    *,
    process_index: int = 0,
    process_count: int = 1,
) -> grain.DatasetIterator[Batch]:
    """An endless iterator over batches of labelled windows.

    Args:
        split: The data to draw from.
        window: Samples per window, a multiple of the data set's hop.
        batch: Windows of the *global* batch; this process gets ``batch // process_count`` of them,
            its row ``r`` being row ``process_index + r * process_count`` of the global batch.
        seed: Of all randomness.
        config: The recipe.
        process_index: Which process this is.
        process_count: How many share the global batch.

    Returns:
        An iterator over `Batch` of float32 numpy arrays [b t 1] (full scale = 1) with tokens
        [b s], one per label; see the module for its state.

    Raises:
        ConfigError: Numbers that do not fit each other or the data.
        InputError: No track is as long as the window.
    """
    if batch < 1 or process_count < 1 or batch % process_count:
        raise ConfigError(f"batch {batch} does not divide among {process_count} processes")
    if not 0 <= process_index < process_count:
        raise ConfigError(f"process_index {process_index} is not below {process_count}")
    windows = RandomWindows(split, window, config)
    dataset = grain.MapDataset.range(len(windows.records)).seed(seed).shuffle().repeat()
    dataset = dataset.random_map(windows)
    dataset = dataset[process_index::process_count]
    dataset = dataset.batch(batch // process_count, drop_remainder=True)
    return iter(dataset.to_iter_dataset(_READ))


def last_frames(split: Split, window: int) -> Int[np.ndarray, " n"]:
    """The last frame at which a window can start in each record; -1 where none fits.

    No window reaches into the padding of a track's last record.

    Raises:
        ConfigError: The window is no multiple of the hop, or is longer than a chunk.
        InputError: No track is as long as the window.
    """
    settings = split.manifest.settings
    if window < 1 or window % settings.hop:
        raise ConfigError(f"window {window} is not a multiple of the data's hop {settings.hop}")
    if window > settings.chunk:
        message = f"window {window} is longer than the data's chunks of {settings.chunk} samples"
        raise ConfigError(f"{message}: prepare the data with a larger chunk")
    valid = np.full(len(split), settings.chunk)
    for track in split.manifest.tracks:
        count = -(-track.length // settings.chunk)
        valid[track.first + count - 1] = track.length - (count - 1) * settings.chunk
    last = np.where(valid < window, -1, (valid - window) // settings.hop)
    if last.max() < 0:
        raise InputError(f"{split.folder} has no track of {window} samples: use a shorter window")
    return last


def _shares(balance: tuple[float, ...], labels: int) -> np.ndarray:
    """Probabilities of 1, 2, ... labels, padded with zeros and summing to 1."""
    shares = np.zeros(labels)
    shares[: len(balance)] = balance
    return shares / shares.sum() if balance else shares
