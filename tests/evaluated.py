"""Evaluations whose every number is known, as ``gmsdi evaluate -o RUN`` writes them.

Two stems are sines that are orthogonal in every window and equally loud, so the mixture's SI-SDR is
0 dB. A method that leaks a share `a` of the other stem, (1 - a) s + a r, has an SI-SDR of
20 log10((1 - a) / a) exactly, in both stems and all windows, and its stems sum to the mixture.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from gmsdi_jax import audio
from gmsdi_jax.metrics import protocols
from gmsdi_jax.metrics.scores import tidy, write_scores

LABELS = ("Bass", "Drums")
RATE = 8000
PROTOCOLS = {"active": protocols.active, "msdm": protocols.msdm}
AMPLITUDE = 0.4


def stems(seconds: float) -> np.ndarray:
    """Two sines with whole periods in half a second, [2 t]."""
    t = np.arange(round(seconds * RATE)) / RATE
    return AMPLITUDE * np.sin(2 * np.pi * np.array([[110.0], [440.0]]) * t)


def leaking(references: np.ndarray, improvement: float) -> np.ndarray:
    """Estimates that are better than the mixture by `improvement` dB."""
    share = 1 / (1 + 10 ** (improvement / 20))
    return (1 - share) * references + share * references[::-1]


def evaluation(
    folder: Path,
    songs: Mapping[str, Mapping[str, float]],
    *,
    keep: Collection[str] = (),
    seconds: float = 8.0,
    settings: Mapping[str, object] | None = None,
    protocols: Collection[str] = tuple(PROTOCOLS),
) -> Path:
    """Writes an evaluation and returns its folder.

    Args:
        folder: where it goes.
        songs: by song, the improvement of each method, dB.
        keep: the songs whose sound is kept.
        seconds: the length of the songs.
        settings: of all methods.
        protocols: the protocols to score by.
    """
    folder.mkdir(parents=True, exist_ok=True)
    references = stems(seconds)
    mixture = references.sum(0)
    methods = list(dict.fromkeys(name for song in songs.values() for name in song))
    rows = []
    for song, improvements in songs.items():
        estimates = {name: leaking(references, gain) for name, gain in improvements.items()}
        if song in keep:
            keep_sound(folder, song, mixture, {"reference": references, **estimates})
        estimates |= {"mixture": np.stack([mixture, mixture]), "silence": 0 * references}
        for protocol in protocols:
            for name, estimate in estimates.items():
                scores = PROTOCOLS[protocol](
                    estimate, references, mixture, RATE, labels=LABELS, track=song
                )
                rows.extend(tidy(protocol, name, 0, scores))
    write_scores(folder, rows)
    own = {"settings": dict(settings or {"steps": 25}), "evaluations": 8, "baseline": False}
    base = {"settings": {}, "evaluations": None, "real_time_factor": None, "baseline": True}
    facts = {
        "version": 1,
        "kind": "separation",
        "labels": LABELS,
        "sample_rate": RATE,
        "protocols": list(protocols),
        "methods": {
            **{name: {**own, "real_time_factor": 0.25} for name in methods},
            **{name: base for name in ("mixture", "silence")},
        },
        "model": None,
        "data": {"path": "sines", "fingerprint": "f00d", "songs": len(songs), "seconds": None},
        "seeds": [0],
    }
    (folder / "evaluation.json").write_text(json.dumps(facts))
    return folder


def keep_sound(
    folder: Path, song: str, mixture: np.ndarray, versions: Mapping[str, np.ndarray]
) -> None:
    """Keeps the sound of a song."""
    place = folder / "audio" / song.replace("/", "-").lstrip(".")
    audio.write(place / "mixture.flac", mixture[:, None].astype(np.float32), RATE)
    for name, version in versions.items():
        for label, stem in zip(LABELS, version, strict=True):
            path = place / name.replace("/", "-") / f"{label}.flac"
            audio.write(path, stem[:, None].astype(np.float32), RATE)
