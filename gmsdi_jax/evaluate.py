"""How well a model separates: on fixed windows while it trains, on whole songs when it is done.

Beside every method stand three rows that need no network, for without them a number means little:
``silence`` (what the metric pays for nothing), ``mixture`` and ``static`` (a Wiener filter with one
spectrum per class, estimated from mixtures alone); and the ``oracle`` filter, which knows the
stems.
"""

import csv
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gmsdi_jax.baselines import static
from gmsdi_jax.baselines.trivial import mixture_copy, oracle_wiener, silence
from gmsdi_jax.build import Model
from gmsdi_jax.data import FixedWindows, Split, open_split, training_batches
from gmsdi_jax.errors import ConfigError, OutputError, UnavailableError
from gmsdi_jax.methods import SeparationConfig, separate
from gmsdi_jax.metrics import protocols
from gmsdi_jax.metrics.protocols import WindowScore
from gmsdi_jax.metrics.si_sdr import si_sdr_improvement
from gmsdi_jax.metrics.summary import Method, paired_interval, summarise, table
from gmsdi_jax.pipeline import GMSDI, prompts_for, separate_blocks
from gmsdi_jax.types import Params

if TYPE_CHECKING:
    from gmsdi_jax.train.observe import Sample

PROTOCOLS = {"active": protocols.active, "msdm": protocols.msdm}
STATIC = "static.safetensors"
"""The file of class spectra beside a model's weights."""


class Song(NamedTuple):
    """A mixture with its true stems, mono, at the model's rate."""

    name: str
    mixture: Float[np.ndarray, " t"]
    stems: Float[np.ndarray, "k t"]


@dataclass(frozen=True)
class Evaluation:
    """The scores of several methods on the same songs."""

    methods: list[Method]

    def __str__(self) -> str:
        """The scorecard, and what the first method gains over each baseline, paired by song."""
        first, total = self.methods[0], summarise(self.methods[0].rows)
        lines = [table(self.methods), ""]
        for other in self.methods[1:]:
            if other.name in ("silence", "mixture", "static"):
                gain = total.overall - summarise(other.rows).overall
                interval = "" if total.songs < 2 else _interval(first, other)
                lines.append(f"{first.name} over {other.name}: {gain:+.2f} dB{interval}")
        songs = "1 song" if total.songs == 1 else f"{total.songs} songs"
        return "\n".join([*lines, f"{songs}, {total.windows} windows of 4 s"])

    def save(self, folder: Path) -> None:
        """Writes ``scorecard.md`` and ``scores.csv`` (a row per method, song, window and stem).

        Raises:
            OutputError: the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "scorecard.md").write_text(f"{self}\n")
            with (folder / "scores.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["method", *WindowScore._fields])
                for method in self.methods:
                    writer.writerows([method.name, *row] for row in method.rows)
        except OSError as error:
            raise OutputError(f"{folder}: cannot write the scores ({error.strerror})") from error


def _interval(a: Method, b: Method) -> str:
    low, high = paired_interval(a.rows, b.rows)
    return f", 95 % interval over songs {low:+.2f} to {high:+.2f}"


def evaluate(
    model: GMSDI,
    songs: Iterable[Song],
    methods: dict[str, SeparationConfig],
    *,
    protocol: str = "active",
    spectra: static.StaticFilter | None = None,
    rows: int = 2,
    on_song: Callable[[str, str], None] = lambda song, method: None,
) -> Evaluation:
    """Scores `methods` and the baselines on `songs`.

    Args:
        model: the model; all its labels are asked for, in the order of the songs' stems.
        songs: the songs.
        methods: settings by name; the first is the one that is compared with the baselines.
        protocol: ``active`` (only sounding stems are scored) or ``msdm`` (as published).
        spectra: the static baseline; its row is left out without.
        rows: windows per compiled call.
        on_song: called with song and method before each is computed.

    Raises:
        ConfigError: an unknown protocol.
        InputError: no window has two sounding stems.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"protocol {protocol!r} is unknown: use {' or '.join(PROTOCOLS)}")
    separators = {name: model.separator(None, c, rows=rows) for name, c in methods.items()}
    for separator in separators.values():
        separator.compile()  # not part of the real-time factor
    rate, labels = model.model.config.sample_rate, model.labels
    scores: dict[str, list[WindowScore]] = {}
    spent, seconds = dict.fromkeys(methods, 0.0), 0.0

    def judge(name: str, song: Song, estimate: np.ndarray) -> None:
        found = PROTOCOLS[protocol](
            estimate, song.stems, song.mixture, rate, labels=labels, track=song.name
        )
        scores.setdefault(name, []).extend(found)

    for song in songs:
        seconds += len(song.mixture) / rate
        for name, separator in separators.items():
            on_song(song.name, name)
            started = time.perf_counter()
            blocks = list(separate_blocks(separator, [song.mixture[:, None]], rate, 1))
            spent[name] += time.perf_counter() - started
            judge(name, song, np.concatenate(blocks, axis=1)[..., 0])
        for name, estimate in _baselines(song, spectra):
            judge(name, song, estimate)
    if not scores:
        raise UnavailableError("there is no song to evaluate")
    return Evaluation(
        [
            Method(
                name,
                rows_,
                separators[name].evaluations if name in separators else None,
                spent[name] / seconds if name in separators else None,
            )
            for name, rows_ in scores.items()
        ]
    )


def _baselines(song: Song, spectra: static.StaticFilter | None):
    k = len(song.stems)
    if spectra is not None:
        yield "static", static.separate(song.mixture, spectra.spectra)
    yield "mixture", mixture_copy(song.mixture, k)
    yield "silence", silence(song.mixture, k)
    yield "oracle", oracle_wiener(song.mixture, song.stems)


def songs_of(
    split: Split, count: int | None = None, seconds: float | None = None
) -> Iterable[Song]:
    """The first `count` songs of a split with stems, each cut to its first `seconds`.

    Raises:
        UnavailableError: the split has no stems.
    """
    for number, track in enumerate(split.tracks()):
        if number == count:
            return
        if track.stems is None:
            raise UnavailableError(
                f"{split.folder}: holds no stems; evaluate on validation or test, or prepare "
                "it with stems"
            )
        end = None if seconds is None else round(seconds * split.manifest.settings.sample_rate)
        yield Song(track.name, track.mixture[:end, 0], track.stems[:, :end, 0])


def evaluate_split(
    model: GMSDI,
    folder: Path,
    methods: dict[str, SeparationConfig],
    *,
    songs: int | None = None,
    seconds: float | None = None,
    protocol: str = "active",
    spectra: Path | None = None,
    out: Path | None = None,
    on_progress: Callable[[str, str], None] = lambda song, method: None,
) -> str:
    """`evaluate` on a folder of shards; returns the scorecard and saves it under `out`.

    Raises:
        UnavailableError: the folder is not a prepared split with stems.
        ConfigError: its labels or sample rate are not the model's.
    """
    split = open_split(folder)
    check_same(model.model, split)
    filter_ = static.load(spectra) if spectra is not None and spectra.exists() else None
    result = evaluate(
        model,
        songs_of(split, songs, seconds),
        methods,
        protocol=protocol,
        spectra=filter_,
        on_song=on_progress,
    )
    if out is not None:
        result.save(out)
    return str(result)


def check_same(model: Model, split: Split) -> None:
    """Raises ConfigError where a split's labels or sample rate are not the model's."""
    settings, config = split.manifest.settings, model.config
    if tuple(settings.labels) != config.labels:
        raise ConfigError(
            f"{split.folder}: labels {', '.join(settings.labels)} are not the model's "
            f"{', '.join(config.labels)}"
        )
    if settings.sample_rate != config.sample_rate:
        raise ConfigError(
            f"{split.folder}: {settings.sample_rate} Hz is not the model's {config.sample_rate} Hz"
        )


def fit_static(split: Split, windows: int = 2000, length: int = 2**15) -> static.StaticFilter:
    """The static baseline's class spectra, from mixtures and window labels of a training split."""
    batches = training_batches(split, length, 50, seed=0)
    drawn = [next(batches) for _ in range(windows // 50)]
    audio = np.concatenate([np.asarray(batch.audio)[..., 0] for batch in drawn])
    presence = np.concatenate([np.asarray(batch.prompt.mask) for batch in drawn])
    settings = split.manifest.settings
    spectra = static.estimate_spectra(audio, presence)
    return static.StaticFilter(spectra, tuple(settings.labels), settings.sample_rate)


class Validator:
    """A function of the weights: mean SI-SDR improvement on active stems, per stem and over all.

    A stem that sounds in no window scores NaN and does not count.
    """

    def __init__(
        self,
        model: Model,
        windows: FixedWindows,
        config: SeparationConfig,
        rows: int = 8,
        keep: int = 0,
    ):
        """Nothing is compiled before the first call.

        Args:
            model: the model under training.
            windows: validation windows with stems.
            config: the method; a cheap one, since it runs often.
            rows: windows per compiled call.
            keep: of so many windows, the first ones, the estimates are kept for `samples`.
        """
        self._model, self._windows, self._rows, self._keep = model, windows, rows, keep
        self._keys = jax.vmap(jax.random.key)(jnp.arange(len(windows.mixture)))
        self._kept: Float[np.ndarray, "b k t"] | None = None

        @jax.jit
        def run(params: Params, keys: Array, mixture: Float[Array, "b t c"]):
            prompts = prompts_for(model, params, model.config.labels)
            return separate(keys, model.denoiser(params), prompts, mixture, config)

        self._run = run

    def __call__(self, params: Params) -> dict[str, float]:
        """``score`` over all labels, and each label's own, in dB."""
        windows, step = self._windows, self._rows
        parts = [
            np.asarray(
                self._run(params, self._keys[i : i + step], jnp.asarray(windows.mixture[i:][:step]))
            )
            for i in range(0, len(windows.mixture), step)
        ]
        estimates = np.concatenate(parts)[..., 0]
        self._kept = estimates[: self._keep]
        gains = si_sdr_improvement(estimates, windows.stems[..., 0], windows.mixture[:, None, :, 0])
        counts = windows.presence.sum(0)
        sums = np.where(windows.presence, gains, 0).sum(0)
        means = np.where(counts, sums / np.maximum(counts, 1), np.nan)
        labels = self._model.config.labels
        return {"score": float(np.nanmean(means)), **dict(zip(labels, means.tolist(), strict=True))}

    def samples(self) -> "list[Sample]":
        """What the last call made of the first windows; none before it."""
        from gmsdi_jax.train.observe import Sample  # all of training, which scorecards do without

        config, windows = self._model.config, self._windows
        return [
            Sample(
                f"{windows.track[i]} at {windows.start[i] / config.sample_rate:.1f} s",
                tuple(config.labels),
                windows.mixture[i, :, 0],
                windows.stems[i, :, :, 0],
                estimate,
                config.sample_rate,
            )
            for i, estimate in enumerate(() if self._kept is None else self._kept)
        ]
