"""One training example of one record: which window, whose labels, what is done to its sound.

Crop a window on the frames of the levels, label it by the gate, redraw it while nothing sounds,
shift it by less than a frame, give it a gain and a sign. That is the recipe of the paper. What goes
beyond is declared, one share each, and off:

* ``mixing``: a second window whose labels are *disjoint* from the first's becomes its interference.
  Asking for the first by its labels is then a task with a right answer, though no stem is ever
  read. (Within one window's label set nothing in a denoising loss says which label owns which
  sound.)
* ``sums``: two windows of any labels are added to one mixture with the union of their labels.
* ``submixes``: some of the stems only. This reads stems: it is supervision, and said to be so.

Choosing looks only at the levels, which are memory-mapped; audio is read once the choice is made.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import grain
import numpy as np
from jaxtyping import Bool, Float, Int

from gmsdi_jax.data.embeddings import Embeddings, open_embeddings
from gmsdi_jax.data.records import FULL_SCALE
from gmsdi_jax.data.shards import DamagedRecordError, Split
from gmsdi_jax.errors import ConfigError, InputError
from gmsdi_jax.types import Batch, Text, Tokens

_OFFSETS_PER_RECORD = 4
_TARGETS = 8
_TRIES_NOT_EMPTY = 2000


@dataclass(frozen=True)
class WindowConfig:
    """How examples are made of a split; the defaults are the paper's recipe, without extras.

    Raises:
        ConfigError: A value is out of range.
    """

    gate: float | None = None
    """Root mean square from which a class counts as playing; None takes the data set's own gate."""
    shift: bool = True
    """Whether windows start at any sample rather than on frames; labels are the frames'."""
    gain_db: tuple[float, float] = (0.0, 0.0)
    """Range of the random gain of every window, in dB, uniform; presence is judged before it."""
    polarity: bool = False
    """Whether to flip the sign of every other window, at random."""
    mixing: float = 0.0
    """Share of examples that get a label-disjoint second window as interference; 0 is the paper.

    Mixed examples redraw both windows until they are disjoint, so they hold fewer labels than
    plain ones; where the draws find no pair the example stays plain.
    """
    sums: float = 0.0
    """Share of the other examples that are the sum of two windows, with the union of their labels;
    0 is the paper."""
    submixes: float = 0.0
    """Share of the other plain examples that hold a random part of their stems, with the labels of
    that part. It needs data prepared with stems: this is stem supervision; 0 is the paper."""
    min_labels: int = 1
    """Fewest labels of both windows of a mixed example; 2 keeps solo windows out of the pairs.

    Plain examples are not bound by it; a first share of 0 in ``balance`` keeps solos out of those.
    """
    balance: tuple[float, ...] = ()
    """Shares of windows with 1, 2, 3, ... labels, such as .5 .25 .15 .1; empty: as they come."""
    tries: int = 50
    """Draws for a window of the wanted number of labels, and for a partner, before giving up."""
    embeddings: str | None = None
    """Name of embeddings made by ``gmsdi data embed``: windows then start where records do, each
    with the embedding of its own audio instead of labels."""
    max_bad: int = 0
    """Damaged records that may be replaced by others, each named once, before training stops."""

    def __post_init__(self) -> None:
        for name in ("mixing", "sums", "submixes"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in 0 to 1, not {getattr(self, name)}")
        if self.gain_db[0] > self.gain_db[1]:
            raise ConfigError(f"gain_db must be (lowest, highest), not {self.gain_db}")
        if self.min_labels < 1 or self.tries < 1:
            raise ConfigError("min_labels and tries must be at least 1")
        if self.balance and (min(self.balance) < 0 or sum(self.balance) <= 0):
            raise ConfigError(f"balance must be shares of which one is positive: {self.balance}")
        if self.gate is not None and self.gate < 0:
            raise ConfigError(f"gate must not be negative, not {self.gate}")
        if self.embeddings and (
            self.gain_db != (0, 0) or self.mixing or self.sums or self.submixes or self.balance
        ):
            raise ConfigError(
                "embeddings belong to windows as they are: leave gain_db, mixing, sums, submixes "
                "and balance alone (polarity is not heard)"
            )
        if self.max_bad < 0:
            raise ConfigError(f"max_bad must not be negative, not {self.max_bad}")


class Place(NamedTuple):
    """A window that was chosen but not read: where it is and who plays in it."""

    record: int
    frame: int
    present: Bool[np.ndarray, " k"]
    sounds: bool


Accept = Callable[[Place], bool]


class RandomWindows(grain.transforms.RandomMap):
    """Makes one example, without a batch axis, of a number below ``len(self.records)``.

    ``records`` are those in which a whole window can start: after the last ones of a track there
    may be too little.

    Raises:
        ConfigError: The window does not fit the frames or the recipe does not fit the data.
        InputError: No track is as long as the window.
    """

    def __init__(
        self,
        split: Split,
        window: int,
        config: WindowConfig,
        on_damage: Callable[[str], None] = lambda message: None,
    ) -> None:
        settings = split.manifest.settings
        _check(split, config)
        self.split, self.window, self.config = split, window, config
        self._hop, self._frames = settings.hop, window // settings.hop
        self._gate = settings.gate if config.gate is None else config.gate
        self._shares = _shares(config.balance, len(settings.labels))
        self._last = last_frames(split, window)
        self._embeddings = _embeddings(split, window, config.embeddings)
        if self._embeddings:
            self._last = np.minimum(self._last, 0)
        self.records = np.flatnonzero(self._last >= 0)
        self._ids = np.arange(len(settings.labels), dtype=np.int32)
        self._damage = _Damage(config.max_bad, on_damage)

    def random_map(self, element: int, rng: np.random.Generator) -> Batch:
        """The example of record ``records[element]``: audio and interference [t c], its prompt.

        That is tokens [s], or the stored embedding as text of one token.

        Raises:
            InputError: No window reaches the gate, or too many records are damaged.
        """
        first = int(self.records[element])
        while True:
            try:
                return self._example(first, rng)
            except DamagedRecordError as error:
                self._damage.note(error)
                first = self._any(rng)

    def _example(self, first: int, rng: np.random.Generator) -> Batch:
        config, pair = self.config, None
        if rng.random() < config.mixing:
            pair = self._pair(first, rng)
        target, partner = pair or (self._single(first, rng), None)
        present = target.present
        if partner is not None:
            audio, interference = self._read(target, rng), self._read(partner, rng)
        else:
            audio, present = self._plain(target, rng)
            interference = np.zeros_like(audio) if config.mixing else None
        # Batch names JAX arrays; the host's arrays stand in until they go to the devices.
        host: tuple[Any, ...] = (audio, interference, self._ids, present)
        if self._embeddings:
            vector: Any = self._embeddings[target.record][None]
            return Batch(host[0], host[1], Text(vector, np.ones(1, bool)))  # type: ignore[arg-type]
        return Batch(host[0], host[1], Tokens(host[2], host[3]))

    def _plain(
        self, target: Place, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "t c=1"], Bool[np.ndarray, " k"]]:
        """The audio and labels of an example without interference."""
        if self.config.sums and rng.random() < self.config.sums:
            other = self._single(self._any(rng), rng)
            both = self._read(target, rng) + self._read(other, rng)
            return both, target.present | other.present
        if self.config.submixes and rng.random() < self.config.submixes:
            playing = np.flatnonzero(target.present)
            count = int(rng.integers(1, len(playing) + 1))
            part = np.zeros_like(target.present)
            part[rng.choice(playing, count, replace=False)] = True
            return self._read(target, rng, part), part
        return self._read(target, rng), target.present

    def _single(self, first: int, rng: np.random.Generator) -> Place:
        """A window in which something sounds, with as many labels as ``balance`` asks for."""
        if self.config.balance:
            wanted = rng.choice(len(self._shares), p=self._shares) + 1
            place = self._draw(
                first, rng, lambda p: int(p.present.sum()) == wanted, self.config.tries
            )
            if place is not None:
                return place
        place = self._draw(first, rng, lambda p: p.sounds, _TRIES_NOT_EMPTY)
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
            target = self._draw(
                first, rng, lambda p: least <= p.present.sum() <= most, self.config.tries
            )
            if target is None:
                return None
            partner = self._partner(target, rng)
            if partner is not None:
                return target, partner
            first = self._any(rng)
        return None

    def _partner(self, target: Place, rng: np.random.Generator) -> Place | None:
        """A window of any record that shares no label with ``target``."""

        def disjoint(place: Place) -> bool:
            enough = place.present.sum() >= self.config.min_labels
            return bool(enough and not (place.present & target.present).any())

        return self._draw(self._any(rng), rng, disjoint, self.config.tries)

    def _any(self, rng: np.random.Generator) -> int:
        """The number of some record in which a window can start."""
        return int(rng.choice(self.records))

    def _draw(
        self, first: int, rng: np.random.Generator, accept: Accept, tries: int
    ) -> Place | None:
        """Draws windows, a few of record ``first`` and then of others, until one is accepted."""
        record = first
        for attempt in range(tries):
            if attempt >= _OFFSETS_PER_RECORD:
                record = self._any(rng)
            frame = int(rng.integers(self._last[record] + 1))
            place = Place(record, frame, *self.split.heard(record, frame, self._frames, self._gate))
            if accept(place):
                return place
        return None

    def _read(
        self,
        place: Place,
        rng: np.random.Generator,
        stems: Bool[np.ndarray, " k"] | None = None,
    ) -> Float[np.ndarray, "t c=1"]:
        """The audio of a window, or the sum of some of its stems, shifted, with a gain and sign."""
        factor = 10 ** (rng.uniform(*self.config.gain_db) / 20)
        if self.config.polarity and rng.random() < 0.5:
            factor = -factor
        start = place.frame * self._hop
        if self.config.shift and not self._embeddings:
            room = int(self.split.remaining[place.record]) - start - self.window
            start += int(rng.integers(min(room + 1, self._hop)))
        if stems is None:
            audio = self.split.window(place.record, start, self.window).astype(np.float32)
        else:
            parts = self.split.stems(place.record, start, self.window)[stems]
            audio = parts.sum(0, dtype=np.float32)
        audio *= np.float32(factor / FULL_SCALE)
        return audio[:, None]


class _Damage:
    """Counts damaged records, each once, in all threads together."""

    def __init__(self, most: int, tell: Callable[[str], None]) -> None:
        self._most, self._tell = most, tell
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def note(self, error: DamagedRecordError) -> None:
        """Names a record that was not seen before.

        Raises:
            InputError: these are more than allowed.
        """
        with self._lock:
            if str(error) in self._seen:
                return
            self._seen.add(str(error))
            count = len(self._seen)
        if count > self._most:
            allowed = f"; windows.max_bad allows {self._most}" if self._most else ""
            raise InputError(f"{error}{allowed}") from error
        self._tell(f"{error} ({count} of at most {self._most} damaged records replaced)")


def last_frames(split: Split, window: int, *, inside: bool = False) -> Int[np.ndarray, " n"]:
    """The last frame of each record at which a window can start; -1 where none fits.

    No window reaches into the padding of a track's last record, nor into another track.

    Args:
        split: The data.
        window: Samples per window.
        inside: Windows that fit into one record stay within one.

    Raises:
        ConfigError: The window is no multiple of the hop.
        InputError: No track is as long as the window.
    """
    settings = split.manifest.settings
    if window < 1 or window % settings.hop:
        raise ConfigError(f"window {window} is not a multiple of the data's hop {settings.hop}")
    most = settings.chunk - (window if inside and window <= settings.chunk else settings.hop)
    room = split.remaining - window
    last = np.where(room < 0, -1, np.minimum(room, most) // settings.hop)
    if last.max() < 0:
        raise InputError(f"{split.folder} has no track of {window} samples: use a shorter window")
    return last


def _embeddings(split: Split, window: int, name: str | None) -> Embeddings | None:
    """The stored embeddings, if they are asked for and of such windows."""
    if name is None:
        return None
    stored = open_embeddings(split, name)
    if stored.window != window:
        message = f"{stored.folder} holds embeddings of windows of {stored.window} samples"
        raise ConfigError(f"{message}, not {window}: embed again under another name")
    return stored


def _check(split: Split, config: WindowConfig) -> None:
    """Refuses a recipe that this data cannot serve."""
    settings, labels = split.manifest.settings, len(split.labels)
    if config.mixing > 0 and 2 * config.min_labels > labels:
        message = f"min_labels {config.min_labels} leaves no disjoint pair of {labels} labels"
        raise ConfigError(message)
    if len(config.balance) > labels:
        raise ConfigError(f"balance has {len(config.balance)} shares for {labels} labels")
    if config.submixes > 0 and not settings.stems:
        message = f"submixes is {config.submixes}, but {split.folder} holds no stems"
        raise ConfigError(f"{message}: prepare it with stems, or leave submixes at 0")


def _shares(balance: tuple[float, ...], labels: int) -> np.ndarray:
    """Probabilities of 1, 2, ... labels, padded with zeros and summing to 1."""
    shares = np.zeros(labels)
    shares[: len(balance)] = balance
    return shares / shares.sum() if balance else shares
