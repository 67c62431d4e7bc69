"""The tables of a sweep in Markdown, the paper's number beside ours.

A number is ours, and after the stroke the paper's; ``-`` where there is none, and ``nan`` where a
method diverged. Rows that no network made stand below always. Two tables are of separations: by
the published protocol, and by the one that scores sounding stems alone (`gmsdi_jax.metrics`).
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from gmsdi_jax.evaluate.result import Evaluation
from gmsdi_jax.generation import Listener
from gmsdi_jax.metrics.summary import ALL, bootstrap_interval, summarise
from gmsdi_jax.sweep.declare import Distances, Grid, Stems
from gmsdi_jax.sweep.generation import GenerationJob
from gmsdi_jax.sweep.run import Plan
from gmsdi_jax.sweep.separation import SeparationJob

PROTOCOLS = ("msdm", "active")
_NAN = float("nan")
Row = Sequence[float | None]


def render(planned: Plan, listeners: Sequence[Listener] = ()) -> str:
    """The tables, below a title and above what they were measured on."""
    sweep = planned.sweep
    match sweep.table:
        case Grid():
            parts = [_grid(planned, sweep.table, name) for name in PROTOCOLS]
        case Stems():
            parts = [_stems(planned, sweep.table, name) for name in PROTOCOLS]
        case Distances():
            parts = [_distances(planned, sweep.table, listeners)]
    notes = [_measured(planned), sweep.note]
    return "\n\n".join([f"### {sweep.title}", *parts, *filter(None, notes)])


def means(job: SeparationJob | None, protocol: str) -> dict[str, float | None]:
    """The mean improvement of each stem and of all, dB; None where there is none."""
    if job is None:
        return {}
    if job.diverged:
        return dict.fromkeys([*job.labels, ALL], _NAN)
    results = job.results()
    if not results:
        return {}
    rows = [row for result in results for row in result.rows[protocol]]
    if not rows:
        return {}
    total = summarise(rows)
    found = {**total.stems, ALL: total.overall}
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def _grid(planned: Plan, table: Grid, protocol: str) -> str:
    sweep = planned.sweep
    columns = sweep.labels(table.columns)
    lines = []
    for row in sweep.labels(table.rows):
        paper = _padded(table.paper.get(row, ()), len(columns))
        ours = [
            means(planned.separation({table.rows: row, table.columns: column}), protocol).get(ALL)
            for column in columns
        ]
        lines.append([row, *map(_pair, ours, paper)])
    for name, job in planned.baselines.items():
        lines.append([name, *[_pair(means(job, protocol).get(ALL), None)] * len(columns)])
    return f"{_caption(protocol)}\n\n{_table([table.columns, *columns], lines)}"


def _stems(planned: Plan, table: Stems, protocol: str) -> str:
    labels = planned.sources.model(None).labels
    columns = [*labels, ALL]
    lines = []
    for row in planned.sweep.labels(table.rows):
        job = planned.separation({table.rows: row})
        found = means(job, protocol)
        lines.append([row, *_numbers(found, columns, table.paper.get(row)), *_costs(job, protocol)])
    for row, of in table.best_of.items():
        found = _best(planned, table, of, protocol, labels)
        lines.append([row, *_numbers(found, columns, table.paper.get(row)), "-", "-", "-"])
    shown = {line[0] for line in lines}
    for row, paper in table.paper.items():
        if row not in shown:
            lines.append([row, *_numbers({}, columns, paper), "-", "-", "-"])
    for name, job in planned.baselines.items():
        lines.append([name, *_numbers(means(job, protocol), columns, None), *_costs(job, protocol)])
    head = [table.rows, *columns, "±", "NFE", "RTF"]
    return f"{_caption(protocol)}\n\n{_table(head, lines)}"


def _best(
    planned: Plan, table: Stems, rows: Sequence[str], protocol: str, labels: Sequence[str]
) -> Mapping[str, float | None]:
    """Stem by stem the number of the row that is best on validation songs."""
    valid = {
        row: means(planned.separation({table.rows: row}, "validation"), protocol) for row in rows
    }
    tested = {row: means(planned.separation({table.rows: row}), protocol) for row in rows}
    found: dict[str, float | None] = {}
    for label in labels:
        scores = {r: v for r in rows if (v := valid[r].get(label)) is not None and v == v}
        if not scores:  # nobody was heard there: no choice, so no number
            continue
        found[label] = tested[max(scores, key=scores.__getitem__)].get(label)
    numbers = [value for value in found.values() if value is not None]
    return {**found, ALL: sum(numbers) / len(numbers) if len(numbers) == len(labels) else None}


def _distances(planned: Plan, table: Distances, listeners: Sequence[Listener]) -> str:
    """Pieces against real ones, with real music's own numbers below each."""
    heads = [table.rows, "compared"]
    for listener in listeners:
        heads += [f"FAD {listener.name}", f"KAD {listener.name}"]
    heads += ["silence %", "silent pieces %", "LUFS", "pieces"]
    lines = []
    for row in planned.sweep.labels(table.rows):
        job = planned.of({table.rows: row})
        if isinstance(job, GenerationJob) and not job.missing:
            lines += _piece_lines(row, job, listeners, planned.sources.store / "embeddings")
        else:
            lines.append([row, *["-"] * (len(heads) - 1)])
    return _table(heads, lines)


def _piece_lines(
    row: str, job: GenerationJob, listeners: Sequence[Listener], embeddings: Path
) -> list[list[str]]:
    found = job.compared(list(listeners), embeddings)
    called = f"{row} ({job.diverged} diverged)" if job.diverged else row
    ours, real = [called, job.thing], ["real music", job.thing]
    for distance in found.distances:
        ours += [_pair(distance.value.fad, None, 3), f"{distance.value.kad:.3g}"]
        real += [f"{distance.floor.fad:.3g}", f"{distance.floor.kad:.3g}"]
    for line, sound in zip((ours, real), found.sounds, strict=True):
        line += [
            f"{100 * sound.silence:.1f}",
            f"{100 * sound.silent_clips:.1f}",
            _text(sound.loudness, 1),
            str(sound.clips),
        ]
    return [ours, real]


def _numbers(found: Mapping, columns: Sequence[str], paper: Row | None) -> list[str]:
    beside = _padded(paper or (), len(columns))
    return [
        _pair(found.get(column), number) for column, number in zip(columns, beside, strict=True)
    ]


def _costs(job: SeparationJob | None, protocol: str) -> list[str]:
    """Half the interval over songs, network evaluations per window, and seconds per second."""
    if job is None or not (results := job.results()):
        return ["-", "-", "-"]
    method = Evaluation(results, {results[0].method: job.evaluations}, protocol).methods[0]
    low, high = bootstrap_interval(method.rows)[ALL] if method.rows else (_NAN, _NAN)
    cost = "-" if job.evaluations is None else str(job.evaluations)
    speed = method.real_time_factor
    spread = (high - low) / 2
    return [
        _text(spread if math.isfinite(spread) else None),
        cost,
        "-" if speed is None else f"{speed:.2g}",
    ]


def _caption(protocol: str) -> str:
    what = {"msdm": "as published, silent stems too", "active": "sounding stems alone"}[protocol]
    return f"SI-SDR improvement, dB, by `{protocol}` ({what}): ours / the paper's"


def _measured(planned: Plan) -> str:
    """Model, data and amount."""
    sweep, model = planned.sweep, planned.sources.model(None)
    if not planned.baselines:
        return f"Model {model.name} ({model.digest[:12]})."
    songs = len(next(iter(planned.baselines.values())).songs.names)
    much = "whole" if sweep.seconds is None else f"the first {sweep.seconds:g} s of each"
    seeds = "" if sweep.seeds == 1 else f", {sweep.seeds} seeds of methods that draw"
    return f"Model {model.name} ({model.digest[:12]}), {songs} test songs, {much}{seeds}."


def _padded(values: Row, size: int) -> list[float | None]:
    return [*values, *[None] * size][:size]


def _pair(ours: float | None, paper: float | None, digits: int = 2) -> str:
    return _text(ours, digits) + ("" if paper is None else f" / {_text(paper, digits)}")


def _text(value: float | None, digits: int = 2) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if math.isfinite(value) else "nan"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    widths = [max(3, *map(len, column)) for column in zip(head, *lines, strict=True)]
    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    padded = [
        [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        for line in (head, *lines)
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [padded[0], rule, *padded[1:]])
