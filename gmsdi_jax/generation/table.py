"""A comparison as Markdown that is legible as it is, and as JSON."""

import math
from collections.abc import Sequence
from typing import Any

from gmsdi_jax.generation.compare import Comparison, Distance, Numbers, Score, Sound


def markdown(found: Comparison) -> str:
    """The tables of distances, of CLAP scores and of sound, with the doubts below the first."""
    parts = []
    if found.distances:
        parts += [_distances(found.distances), _doubts(found.distances)]
    if found.scores:
        parts.append(_scores(found.scores))
    parts.append(_sounds(found.sounds))
    return "\n\n".join(part for part in parts if part)


def as_json(found: Comparison) -> dict[str, Any]:
    """The same as plain values; what cannot be had is None."""
    return {
        "distances": [_plain(row) for row in found.distances],
        "scores": [_plain(row) for row in found.scores],
        "sounds": [_plain(row) for row in found.sounds],
    }


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {name: _plain(field) for name, field in value._asdict().items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _distances(rows: Sequence[Distance]) -> str:
    head = ["Compared", "Encoder", "FAD", "FAD∞", "KAD", "embeddings"]
    lines = []
    for row in rows:
        sizes = f"{row.generated.embeddings} : {row.reference.embeddings}"
        lines.append([row.thing, row.encoder, *_numbers(row.value), sizes])
        half = row.floor_embeddings
        floor = f"{half} : {row.reference.embeddings - half}" if half else "-"
        lines.append([f"{row.thing}, real : real", row.encoder, *_numbers(row.floor), floor])
    return _table(head, lines, words=2)


def _numbers(value: Numbers) -> list[str]:
    # CLAP's vectors are of length 1, so their distances are small: digits count, not places.
    return [_text(number, ".4g") for number in (value.fad, value.fad_infinity, value.kad)]


def _doubts(rows: Sequence[Distance]) -> str:
    """Of which lines the FAD is a number about the number of clips."""
    few = [
        f"{row.thing}, {row.encoder} ({least} embeddings of {row.dimensions} dimensions)"
        for row in rows
        if (least := min(row.generated.embeddings, row.reference.embeddings)) < 2 * row.dimensions
    ]
    if not few:
        return ""
    return (
        f"Few embeddings for their dimensions, so that the FAD says mostly how few: "
        f"{'; '.join(few)}. Read the KAD, or give more audio."
    )


def _scores(rows: Sequence[Score]) -> str:
    head = ["CLAP score", "Words", "right", "others", "retrieved %", "chance %"]
    lines = [
        [
            f"{row.thing}, {row.side}",
            row.words,
            _text(row.value.score, ".3f"),
            _text(row.value.negatives, ".3f"),
            _text(100 * row.value.accuracy, ".1f"),
            _text(100 * row.value.chance, ".1f"),
        ]
        for row in rows
    ]
    return _table(head, lines, words=2)


def _sounds(rows: Sequence[Sound]) -> str:
    head = ["Sound", "clips", "silence %", "silent clips %", "LUFS", "± LU"]
    lines = [
        [
            f"{row.thing}, {row.side}",
            str(row.clips),
            _text(100 * row.silence, ".1f"),
            _text(100 * row.silent_clips, ".1f"),
            _text(row.loudness, ".1f"),
            _text(row.loudness_spread, ".1f"),
        ]
        for row in rows
    ]
    return _table(head, lines, words=1)


def _text(value: float, style: str) -> str:
    return format(value, style) if math.isfinite(value) else "-"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]], words: int) -> str:
    """Columns of words to the left, of numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    rule = ["-" * w if i < words else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    padded = [
        [
            c.ljust(w) if i < words else c.rjust(w)
            for i, (c, w) in enumerate(zip(line, widths, strict=True))
        ]
        for line in (head, *lines)
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [padded[0], rule, *padded[1:]])
