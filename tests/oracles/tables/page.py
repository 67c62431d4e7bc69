"""docs/oracles.md and its figure, from the rows of the tables."""

from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
from oracles.tables.coloured import ColouredRow
from oracles.tables.gaussian import GaussianRow
from oracles.tables.generation import GenerationRow
from oracles.tables.sparse import AVERAGED, BINS, SparseRow
from oracles.tables.weak import WeakRow

TEMPLATE = Path(__file__).with_name("page.md")


def page(
    gaussian: list[GaussianRow],
    sparse: list[SparseRow],
    coloured: list[ColouredRow],
    weak: list[WeakRow],
    generation: list[GenerationRow],
) -> str:
    """The page in markdown."""
    separators = [row for row in gaussian if not row.constrained]
    runs = [row for row in separators if row.steps]
    few = [row for row in runs if row.solver == "DAPS" and row.steps < 150]
    return TEMPLATE.read_text().format(
        main=_gaussian([row for row in separators if row.steps in (0, 150)] + few),
        bias=_by_steps(runs, "bias", 3),
        covariance=_by_steps(runs, "covariance", 3),
        one=_by_steps(runs, "one", 2),
        mean=_by_steps(runs, "mean", 2),
        constrained=_gaussian([row for row in gaussian if row.constrained]),
        sparse=_sparse(sparse),
        coloured=_coloured(coloured),
        weak=_weak(weak),
        generation=_generation(generation),
        bins=f"{BINS:,}".replace(",", " "),
        averaged=f"{AVERAGED:,}".replace(",", " "),
        critical=1.63 / BINS**0.5,
    )


def table(head: str, rows: Iterable[Iterable[str]], words: int = 2) -> str:
    """A table in markdown; the first `words` columns are text, the others are numbers."""
    columns = [name.strip() for name in head.split("|")]
    rule = [":--"] * words + ["--:"] * (len(columns) - words)
    lines = [columns, rule, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float, digits: int) -> str:
    """Rounded; what no longer means anything is said in words."""
    if not abs(value) < 30:
        return "diverges"
    return f"{value:.{digits}f}".replace("-0.000", "0.000")


def _cost(row) -> list[str]:
    return [str(row.steps), str(row.evaluations)] if row.steps else ["", ""]


def _gaussian(rows: list[GaussianRow]) -> str:
    return table(
        "rule | solver | steps | evaluations | bias | covariance | spread | 1 draw | of 8 | of all",
        (
            [
                row.rule if row.constrained == "" else f"{row.rule}, {row.constrained}",
                row.solver,
                *_cost(row),
                *(number(x, 3) for x in (row.bias, row.covariance, row.spread)),
                *(number(x, 2) for x in (row.one, row.eight, row.mean)),
            ]
            for row in rows
        ),
    )


def _by_steps(rows: list[GaussianRow], field: str, digits: int) -> str:
    """One line per rule and solver, one column per number of steps."""
    steps = sorted({row.steps for row in rows})
    lines: dict[tuple[str, str], dict[int, GaussianRow]] = {}
    for row in rows:
        lines.setdefault((row.rule, row.solver), {})[row.steps] = row

    def cell(found: dict[int, GaussianRow], n: int) -> str:
        if n not in found:
            return ""
        return "diverges" if not found[n].bias < 10 else number(getattr(found[n], field), digits)

    return table(
        "rule | solver | calls a step | " + " | ".join(map(str, steps)),
        (
            [rule, solver, str(found[150].evaluations // 150), *(cell(found, n) for n in steps)]
            for (rule, solver), found in lines.items()
        ),
    )


def _sparse(rows: list[SparseRow]) -> str:
    head = "rule | solver | steps | evaluations | SDR, 1 draw | mean of 8 | error | calibration"
    return table(
        head,
        (
            [
                row.rule,
                row.solver,
                *_cost(row),
                number(row.one, 2),
                number(row.eight, 2),
                number(row.error, 3),
                " ".join(f"{distance:.3f}" for distance in row.calibration),
            ]
            for row in rows
        ),
    )


def _coloured(rows: list[ColouredRow]) -> str:
    head = "rule | solver | steps | evaluations | 1 draw | mean of 8 | 1 draw, filtered"
    return table(
        head,
        (
            [
                row.rule,
                row.solver,
                *_cost(row),
                *(number(x, 2) for x in (row.one, row.eight, row.filtered)),
            ]
            for row in rows
        ),
    )


def _weak(rows: list[WeakRow]) -> str:
    head = "rule, ancestral | steps | belief | level | rare source | all sources"
    return table(
        head,
        (
            [
                row.rule,
                str(row.steps or ""),
                f"{row.belief:g}",
                *(f"{x:+.1f}" for x in (row.level, row.rare, row.mean)),
            ]
            for row in rows
        ),
        words=1,
    )


def _generation(rows: list[GenerationRow]) -> str:
    head = "form | solver | sum, dB | loud stems, dB | soft stems, dB | correlation"
    return table(
        head,
        (
            [
                row.form,
                row.solver,
                *(f"{x:+.1f}".replace("-0.0", "+0.0") for x in (row.total, row.loud, row.soft)),
                f"{row.correlation:+.2f}",
            ]
            for row in rows
        ),
    )


_ORANGES = ("#7f2704", "#b13a03", "#d94801", "#f16913", "#fd8d3c", "#fdae6b")
CURVES = {
    ("Dirac", "ODE, Euler"): ("Dirac, ODE", _ORANGES[0], "-"),
    ("Dirac", "ancestral"): ("Dirac, ancestral", _ORANGES[2], "-"),
    ("Dirac", "churn 20"): ("Dirac, churn 20", _ORANGES[3], "-"),
    ("Dirac", "churn 20, twice"): ("Dirac, churn 20, twice", _ORANGES[4], "-"),
    ("Dirac", "churn 40, twice"): ("Dirac, churn 40, twice", _ORANGES[5], "-"),
    ("Gaussian likelihood, MSDM's 1/2", "churn 20, twice"): (
        "Gaussian likelihood, churn 20, twice",
        "#8856a7",
        "-",
    ),
    ("uniform projection", "ancestral"): ("uniform projection, ancestral", "#888888", "-"),
    ("covariance projection", "ODE, DPM++ 2M"): ("covariance, ODE", "#6baed6", "-"),
    ("covariance projection", "ancestral"): ("covariance, ancestral", "#2171b5", "-"),
    ("covariance projection", "churn 20, twice"): ("covariance, churn 20, twice", "#08306b", "-"),
    ("covariance projection", "DAPS"): ("covariance, DAPS", "#238b45", "-"),
}
"""Rules and solvers in the figure, their names there and their colours."""


def draw(rows: list[GaussianRow], path: Path) -> None:
    """The figure: bias against evaluations."""
    style = {
        "svg.hashsalt": "oracles",  # the same file every time
        "font.size": 9.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(style):
        figure, axes = plt.subplots(figsize=(8.6, 5.2), layout="constrained")
        for (rule, solver), (name, colour, dashes) in CURVES.items():
            curve = [row for row in rows if (row.rule, row.solver) == (rule, solver)]
            points = [(row.evaluations, row.bias) for row in curve if not row.constrained]
            axes.plot(
                *zip(*points, strict=True), dashes, color=colour, marker="o", ms=4, label=name
            )
        axes.set(xscale="log", yscale="log", xlim=(4, 1500), ylim=(5e-5, 4))
        axes.set_xlabel("network evaluations per source")
        axes.set_ylabel("bias of the mean, in posterior deviations")
        axes.grid(which="major", color="#e6e6e6", lw=0.8)
        axes.legend()
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
