"""A model on songs: separated here, song by song, and scored."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Float

from gmsdi_jax import __version__
from gmsdi_jax.arrays import digest
from gmsdi_jax.baselines import static
from gmsdi_jax.data import open_split
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.evaluate.judge import KeptAudio, Say
from gmsdi_jax.evaluate.result import Evaluation
from gmsdi_jax.evaluate.scorer import OnPlan, OnSong, Run, Scorer, baselines, check
from gmsdi_jax.evaluate.songs import Song, SplitSongs, check_same
from gmsdi_jax.evaluate.store import FolderStore, MemoryStore
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.pipeline import GMSDI, WindowSeparator, separate_blocks

Rows = int | Literal["auto"] | None


def evaluate(
    model: GMSDI,
    songs: Iterable[Song],
    methods: dict[str, SeparationConfig],
    *,
    protocol: str = "active",
    spectra: static.StaticFilter | None = None,
    rows: Rows = None,
    seeds: int = 1,
    overlap: float = 0.25,
    on_song: OnSong = lambda song, method: None,
) -> Evaluation:
    """Scores `methods` and the baselines on `songs`.

    Args:
        model: the model; all its labels are asked for, in the order of the songs' stems.
        songs: the songs.
        methods: settings by name; the first is the one that is compared with the baselines.
        protocol: whose scores head the card: ``active`` (only sounding stems are scored) or
            ``msdm`` (as published). Both are computed.
        spectra: the static baseline; its row is left out without.
        rows: windows per compiled call, as in `WindowSeparator`.
        seeds: how many seeds, from 0 on, of the methods that draw.
        overlap: share of a window that the next one repeats; the published pipeline has 0.
        on_song: called with song and method before each is computed.

    Raises:
        ConfigError: an unknown protocol, or a method that is called as a baseline is.
        UnavailableError: there is no song.
    """
    check(protocol, methods)
    separators = _separators(model, methods, seeds, rows)
    config = model.model.config
    scorer = Scorer(
        [*runs_of(separators, overlap), *baselines(spectra)],
        MemoryStore(),
        config.labels,
        config.sample_rate,
        chunked=True,
        on_song=on_song,
    )
    count = 0
    for number, song in enumerate(songs):
        scorer.score(number, song, scorer.runs)
        count = number + 1
    results = scorer.gather(range(count))
    about = _about(model, methods, overlap, {"name": None, "songs": count, "seconds": None})
    return Evaluation(results, _costs(separators, scorer.runs), protocol, about)


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
    seeds: int = 1,
    overlap: float = 0.25,
    audio: int = 0,
    on_plan: OnPlan = lambda there, missing: None,
    on_progress: OnSong = lambda song, method: None,
    say: Say = lambda text: None,
) -> str:
    """`evaluate` on a folder of shards; returns the scorecard and saves it under `out`.

    With `out`, results are kept as they come: the same call goes on where a killed one was. In a
    run of several processes each takes its share of the songs; the first returns the scorecard, the
    others an empty string.

    Args:
        model: as in `evaluate`.
        folder: of the split.
        methods: as in `evaluate`.
        songs: how many, from the first; all by default.
        seconds: how much of each.
        protocol: as in `evaluate`.
        spectra: file of the static baseline.
        out: folder of the run.
        seeds: as in `evaluate`.
        overlap: as in `evaluate`.
        audio: of how many songs to keep the audio below `out`.
        on_plan: called once with how many results are there and how many are to be computed.
        on_progress: called with song and method before each is computed.
        say: told what a user should know of kept audio, one line each.

    Raises:
        UnavailableError: the folder is not a prepared split with stems.
        ConfigError: its labels or sample rate are not the model's, `out` holds another evaluation,
            or several processes have no `out` to gather results in.
        OutputError: `out` cannot be written.
    """
    check(protocol, methods)
    if out is None and jax.process_count() > 1:
        raise ConfigError(
            "several processes gather results in a folder all of them see: name --out"
        )
    split = open_split(folder)
    check_same(model.model, split)
    split_songs = SplitSongs(split, songs, seconds)
    if spectra is not None and not spectra.exists():
        spectra = None
    data = {
        "path": str(folder),
        "fingerprint": split.fingerprint,
        "songs": len(split_songs.names),
        "seconds": seconds,
    }
    about, config = _about(model, methods, overlap, data), model.model.config
    settings = {
        "gmsdi_jax": __version__,
        "model": model.digest,
        **{name: data[name] for name in ("fingerprint", "songs", "seconds")},
        "seeds": seeds,
        "overlap": overlap,
        "static": None if spectra is None else digest(spectra),
        "methods": about["settings"],
        **about["chosen"],
    }
    separators = _separators(model, methods, seeds, None)
    scorer = Scorer(
        [
            *runs_of(separators, overlap),
            *baselines(None if spectra is None else static.load(spectra)),
        ],
        MemoryStore() if out is None else FolderStore(out, settings),
        config.labels,
        config.sample_rate,
        chunked=True,
        on_song=on_progress,
        audio=KeptAudio(out, audio, config.labels, config.sample_rate, say) if out else None,
    )
    results = scorer.score_all(split_songs, on_plan)
    if not results:
        return ""
    evaluation = Evaluation(results, _costs(separators, scorer.runs), protocol, about)
    if out is not None:
        evaluation.save(out)
    return str(evaluation)


def _separators(
    model: GMSDI, methods: dict[str, SeparationConfig], seeds: int, rows: Rows
) -> dict[tuple[str, int], WindowSeparator]:
    """By method and seed."""
    if seeds < 1:
        raise ConfigError(f"seeds is {seeds}: take at least 1")
    found = {}
    for name, config in methods.items():
        found |= seeded(name, model.separator(None, config, rows=rows, seed=0), seeds)
    return found


def seeded(
    name: str, separator: WindowSeparator, seeds: int
) -> dict[tuple[str, int], WindowSeparator]:
    """A method's separation with seeds from 0 on, by name and seed; compiled once.

    The read-out draws nothing, so that one seed is all there is of it.
    """
    count = 1 if separator.config.method == "direct" else seeds
    return {(name, seed): separator.with_seed(seed) for seed in range(count)}


def runs_of(separators: dict[tuple[str, int], WindowSeparator], overlap: float) -> list[Run]:
    """What `Scorer` runs, of separators by method and seed.

    Raises:
        ConfigError: the windows overlap by no share.
    """
    if not 0 <= overlap < 1:
        raise ConfigError(f"overlap is {overlap}: take at least 0 and less than 1")

    def run(name: str, seed: int, separator: WindowSeparator) -> Run:
        def estimate(song: Song) -> Float[np.ndarray, "k t"]:
            rate = separator.model.config.sample_rate
            blocks = separate_blocks(separator, [song.mixture[:, None]], rate, 1, overlap)
            return np.concatenate(list(blocks), axis=1)[..., 0]

        return Run(name, seed, estimate, prepare=separator.compile)

    return [run(name, seed, separator) for (name, seed), separator in separators.items()]


def _costs(
    separators: dict[tuple[str, int], WindowSeparator], runs: Iterable[Run]
) -> dict[str, int | None]:
    """Network evaluations per window of every method."""
    costs = {name: separator.evaluations for (name, _), separator in separators.items()}
    return {run.method: costs.get(run.method) for run in runs}


def _about(
    model: GMSDI, methods: dict[str, SeparationConfig], overlap: float, data: dict[str, Any]
) -> dict[str, Any]:
    """What ``evaluation.json`` says of a model on data."""
    device, config = jax.devices()[0], model.model.config
    own = {"constrained": config.constrained, "negatives": config.negatives}
    return {
        "labels": list(model.labels),
        "sample_rate": config.sample_rate,
        "chosen": {name: value for name, value in own.items() if value},
        "settings": {name: {**asdict(c), "overlap": overlap} for name, c in methods.items()},
        "model": {
            "name": model.name,
            "sha256": model.digest,
            "gmsdi_jax": __version__,
            "jax": jax.__version__,
            "device": f"{jax.device_count()} x {device.device_kind}",
        },
        "data": data,
    }
