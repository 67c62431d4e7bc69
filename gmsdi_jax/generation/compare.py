"""Generated folders against real ones, in numbers, and the floor that real music itself has.

The floor is the same distance between two halves of the reference, split by song and averaged over
some splits: no generated set can be expected nearer than real music is to other real music. The
halves are smaller than the whole, so the floor of the FAD is a little high; its number of
embeddings stands beside it.

Nothing here is a verdict on one piece: every number is of a set.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gmsdi_jax.errors import ConfigError, InputError
from gmsdi_jax.generation.clips import Clip, Cut, find_clips, is_mix
from gmsdi_jax.generation.listeners import Listener, sound_meter
from gmsdi_jax.generation.store import Rows, Store, listen, read_words
from gmsdi_jax.metrics.clap_score import ClapScore, clap_score
from gmsdi_jax.metrics.frechet import frechet_distance, frechet_infinity
from gmsdi_jax.metrics.kad import kernel_distance

NAN = float("nan")
MOST = 10_000
"""Embeddings of each side of a KAD, whose cost is their square; fewer of them do not bias it."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is compared with what."""

    generated: Path
    reference: Path
    things: tuple[str, ...] = ()
    """``mix`` or names of stems, each compared by itself; empty: every file, as `find_clips`."""
    given: Path | None = None
    """Stems that belong to the generated pieces (`find_clips`)."""
    cut: Cut = field(default_factory=Cut)
    splits: int = 5
    """Splits of the reference in halves."""
    words: str = "{}"
    """What a stem is called in words, with {} for its name; without {}, the words of everything."""
    negatives: tuple[str, ...] = ()
    """Words of what it is not, besides the other stems' names."""

    def __post_init__(self):
        """Refuses a thing that is compared twice."""
        names = [thing.casefold() for thing in self.things]
        if len(set(names)) < len(names):
            raise ConfigError(f"{', '.join(self.things)}: name each thing once")


class Set(NamedTuple):
    """Embeddings of one side."""

    clips: int
    embeddings: int


class Numbers(NamedTuple):
    """Distances of one set from another; NaN where they cannot be had."""

    fad: float
    """The Fréchet distance."""
    fad_infinity: float
    """Extrapolated to endless generated music; NaN for fewer than two embeddings per dimension."""
    r2: float
    """Of the extrapolation's line."""
    kad: float
    """The kernel distance."""


class Distance(NamedTuple):
    """One line of the table of distances."""

    thing: str
    encoder: str
    dimensions: int
    generated: Set
    reference: Set
    value: Numbers
    floor: Numbers
    """The mean over splits of the reference in halves."""
    floor_embeddings: int
    """The size of a half."""


class Sound(NamedTuple):
    """What a meter shows of one side."""

    thing: str
    side: str
    clips: int
    silence: float
    """The mean share of silent seconds, 0 to 1."""
    silent_clips: float
    """The share of clips that are silent throughout."""
    loudness: float
    """The mean loudness of clips that have one, LUFS."""
    loudness_spread: float
    """Its standard deviation, LU."""


class Score(NamedTuple):
    """The CLAP score of one side."""

    thing: str
    side: str
    words: str
    value: ClapScore


@dataclass(frozen=True)
class Comparison:
    """All that was found."""

    distances: list[Distance]
    scores: list[Score]
    sounds: list[Sound]


def compare(
    request: Request,
    listeners: Sequence[Listener],
    store: Store,
    on_clip: Callable[[int, int, str], None] = lambda done, total, track: None,
) -> Comparison:
    """Listens to both sides and compares them, thing by thing.

    Args:
        request: what to compare.
        listeners: encoders; without any, only sound is measured.
        store: where what they heard is kept.
        on_clip: told the clips done and in all, and the track.

    Raises:
        InputError: a side has no audio, or too little, or a file is damaged.
        OutputError: the store cannot be written.
    """
    things = request.things or (None,)
    found = {(thing, side): _clips(request, thing, side) for thing in things for side in _SIDES}
    total, done = sum(map(len, found.values())), 0

    def advance(track: str) -> None:
        nonlocal done
        done += 1
        on_clip(done, total, track)

    ears = [sound_meter(), *listeners]
    result = Comparison([], [], [])
    for thing in things:
        sides = {side: found[thing, side] for side in _SIDES}
        heard = {side: listen(clips, ears, store, advance) for side, clips in sides.items()}
        called = thing or "all files"
        for side in _SIDES:
            result.sounds.append(_sound(called, side, heard[side][0]))
        for number, listener in enumerate(listeners, 1):
            rows = {side: heard[side][number] for side in _SIDES}
            result.distances.append(
                _distance(
                    called,
                    listener.name,
                    rows["generated"],
                    rows["reference"],
                    sides["reference"],
                    request,
                )
            )
            result.scores.extend(_scores(request, thing, listener, store, rows))
    return result


_SIDES = ("generated", "reference")


def _clips(request: Request, thing: str | None, side: str) -> list[Clip]:
    if side == "generated":
        return find_clips(request.generated, thing, request.cut, request.given)
    # Real pieces have all their stems: a mixture needs nothing given.
    return find_clips(request.reference, thing, request.cut)


def _distance(
    thing: str,
    encoder: str,
    generated: Sequence[Rows],
    reference: Sequence[Rows],
    clips: Sequence[Clip],
    request: Request,
) -> Distance:
    x, y = np.concatenate(generated), np.concatenate(reference)
    for name, rows in ((request.generated, x), (request.reference, y)):
        if len(rows) < 2:
            raise InputError(f"{name}: one clip is no set; {thing} needs two or more")
    floors, sizes = [], []
    for split in range(request.splits):
        halves = _halves(reference, clips, split)
        if halves is not None:
            floors.append(numbers(*halves))
            sizes.append(len(halves[0]))
    return Distance(
        thing,
        encoder,
        x.shape[1],
        Set(len(generated), len(x)),
        Set(len(reference), len(y)),
        numbers(x, y),
        Numbers(*np.mean(floors, 0).tolist()) if floors else Numbers(NAN, NAN, NAN, NAN),
        round(float(np.mean(sizes))) if sizes else 0,
    )


def numbers(
    generated: Float[np.ndarray, "n d"], reference: Float[np.ndarray, "m d"], most: int = MOST
) -> Numbers:
    """All distances of two sets; the KAD is of `most` embeddings of each, drawn at random."""
    # Below full rank the excess is not one over n, and the line leads astray by hundreds.
    enough = len(generated) >= 2 * generated.shape[1]
    line = frechet_infinity(generated, reference) if enough else None
    return Numbers(
        frechet_distance(generated, reference),
        line.distance if line else NAN,
        line.r2 if line else NAN,
        kernel_distance(_drawn(generated, most), _drawn(reference, most)),
    )


def _drawn(rows: Float[np.ndarray, "n d"], most: int) -> Float[np.ndarray, "m d"]:
    if len(rows) <= most:
        return rows
    return rows[np.random.default_rng(0).choice(len(rows), most, replace=False)]


def _halves(
    rows: Sequence[Rows], clips: Sequence[Clip], seed: int
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "m d"]] | None:
    """The embeddings of half of the songs and of the others; None if there are not enough."""
    tracks = list(dict.fromkeys(clip.source.track for clip in clips))
    order = np.random.default_rng(seed).permutation(len(tracks))
    first = {tracks[i] for i in order[: len(tracks) // 2]}
    halves = [
        [row for row, clip in zip(rows, clips, strict=True) if (clip.source.track in first) == one]
        for one in (True, False)
    ]
    if any(sum(map(len, half)) < 2 for half in halves):
        return None
    a, b = (np.concatenate(half) for half in halves)
    return a, b


def _sound(thing: str, side: str, rows: Sequence[Rows]) -> Sound:
    silence, loudness = np.concatenate(rows).astype(np.float64).T
    heard = loudness[np.isfinite(loudness)]
    return Sound(
        thing,
        side,
        len(silence),
        float(silence.mean()),
        float((silence == 1).mean()),
        float(heard.mean()) if len(heard) else NAN,
        float(heard.std()) if len(heard) else NAN,
    )


def _scores(
    request: Request,
    thing: str | None,
    listener: Listener,
    store: Store,
    rows: dict[str, list[Rows]],
) -> list[Score]:
    """The CLAP scores of both sides, by a listener that reads words, of a thing that has some."""
    unnamed = thing is None or is_mix(thing)
    if unnamed and "{}" in request.words:
        return []
    right = request.words.replace("{}", thing or "")
    others = [request.words.replace("{}", name) for name in request.things if not is_mix(name)]
    texts = {text.casefold(): text for text in (*request.negatives, *others, right)}
    texts.pop(right.casefold())
    vectors = read_words([right, *texts.values()], listener, store)
    if vectors is None:
        return []
    return [
        Score(
            thing or "all files",
            side,
            right,
            clap_score(np.concatenate(heard), vectors, [0] * len(heard)),
        )
        for side, heard in rows.items()
    ]
