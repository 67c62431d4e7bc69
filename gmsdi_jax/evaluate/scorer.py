"""The loop of an evaluation: songs times methods times seeds, each computed once and kept.

Beside every method stand rows that need no network (`gmsdi_jax.baselines.trivial`), computed and
kept in the same way. What is there already is not computed again, and a song of which all is there
is not even read. Several processes share the songs, every n-th each, and the first of them gathers
what all have written.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from gmsdi_jax.baselines import static
from gmsdi_jax.baselines.trivial import mixture_copy, oracle_wiener, silence
from gmsdi_jax.distributed import is_first, wait_for_all
from gmsdi_jax.errors import ConfigError, InputError, OutputError, UnavailableError
from gmsdi_jax.evaluate.judge import PROTOCOLS, KeptAudio, judge
from gmsdi_jax.evaluate.result import BASELINES
from gmsdi_jax.evaluate.songs import Song, Songs
from gmsdi_jax.evaluate.store import Result, Store

OnSong = Callable[[str, str], None]
"""Called with song and method before each is computed, but for the baselines."""
OnPlan = Callable[[int, int], None]
"""Called once with how many results are there and how many are to be computed, likewise."""


@dataclass(frozen=True)
class Run:
    """One method with one seed: a row of every song."""

    method: str
    seed: int
    estimate: Callable[[Song], Float[np.ndarray, "k t"]]
    prepare: Callable[[], object] | None = None
    """Called before every estimate, outside the time that is taken; none is taken without it."""


@dataclass(frozen=True)
class Scorer:
    """What is done with every song."""

    runs: Sequence[Run]
    store: Store
    labels: tuple[str, ...]
    sample_rate: int
    chunked: bool
    """As in `judge`."""
    on_song: OnSong = lambda song, method: None
    audio: KeptAudio | None = None

    def missing(self, number: int, name: str) -> list[Run]:
        """The runs that have yet to hear this song."""
        return [
            run
            for run in self.runs
            if self.store.read(number, run.method, run.seed) is None
            or (self.audio and self.audio.lacks(number, name, run.method, run.seed))
        ]

    def score(self, number: int, song: Song, runs: Iterable[Run]) -> None:
        """Computes these runs of a song, and keeps their results."""
        for run in runs:
            if run.method not in BASELINES:
                self.on_song(song.name, run.method)
            if run.prepare:
                run.prepare()
            started = time.perf_counter()
            estimates = run.estimate(song)
            spent = time.perf_counter() - started if run.prepare else None
            rows, tracks = judge(
                song, estimates, self.labels, self.sample_rate, chunked=self.chunked
            )
            if self.audio and self.audio.lacks(number, song.name, run.method, run.seed):
                self.audio.write(song, run.method, estimates)
            seconds = len(song.mixture) / self.sample_rate
            self.store.write(
                number, Result(song.name, run.method, run.seed, seconds, spent, rows, tracks)
            )

    def score_all(
        self,
        songs: Songs,
        on_plan: OnPlan,
        on_failure: Callable[[InputError], None] | None = None,
    ) -> list[Result]:
        """The results of all songs, of which this process computes its share.

        Only the first process gets them, the others get none.

        Args:
            songs: the songs.
            on_plan: see `OnPlan`.
            on_failure: told of every song that cannot be used; without it the first one raises.

        Raises:
            InputError: a song cannot be used.
            UnavailableError: none can.
            OutputError: the results of other processes cannot be seen here.
        """
        mine = range(jax.process_index(), len(songs.names), jax.process_count())
        todo = {number: self.missing(number, songs.names[number]) for number in mine}
        count = sum(run.method not in BASELINES for runs in todo.values() for run in runs)
        whole = len(mine) * sum(run.method not in BASELINES for run in self.runs)
        on_plan(whole - count, count)
        for number, runs in todo.items():
            if runs:
                try:
                    song = songs.load(number)
                except InputError as error:
                    if on_failure is None:
                        raise
                    on_failure(error)
                else:
                    self.score(number, song, runs)
        wait_for_all("evaluate")
        return self.gather(range(len(songs.names)), partly=on_failure is not None)

    def gather(self, numbers: Iterable[int], partly: bool = False) -> list[Result]:
        """The results of these songs; with `partly`, of those that have all."""
        if not is_first():
            return []
        results: list[Result] = []
        for number in numbers:
            found = [self.store.read(number, run.method, run.seed) for run in self.runs]
            there = [result for result in found if result is not None]
            if len(there) == len(found):
                results += there
            elif not partly:
                raise OutputError(
                    f"results of song {number} are missing: do all processes see the same folder?"
                )
        if not results:
            raise UnavailableError("there is no song to evaluate")
        return results


def baselines(spectra: static.StaticFilter | None = None) -> list[Run]:
    """The rows that no separator makes; that of `static` only with its spectra."""
    rows = {
        "mixture": lambda song: mixture_copy(song.mixture, len(song.stems)),
        "silence": lambda song: silence(song.mixture, len(song.stems)),
        "oracle": _oracle,
    }
    if spectra is not None:
        rows["static"] = lambda song: static.separate(song.mixture, spectra.spectra)
    return [Run(name, 0, rows[name]) for name in BASELINES if name in rows]


def check(protocol: str, methods: Iterable[str]) -> None:
    """Raises ConfigError for an unknown protocol, and a method that is called as a baseline is."""
    if protocol not in PROTOCOLS:
        raise ConfigError(f"protocol {protocol!r} is unknown: use {' or '.join(PROTOCOLS)}")
    taken = [name for name in methods if name in BASELINES]
    if taken:
        raise ConfigError(f"{taken[0]!r} is the name of a baseline: call the method otherwise")


def _oracle(song: Song) -> Float[np.ndarray, "k t"]:
    k = len(song.stems)
    everything = song.stems if song.others is None else np.concatenate([song.stems, song.others])
    return oracle_wiener(song.mixture, everything)[:k]
