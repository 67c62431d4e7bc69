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


CURVES = {
    ("Dirac", "ODE, Euler"): ("Dirac, ODE", "#7f2704"),
    ("uniform projection", "ancestral"): ("uniform projection, ancestral", "#888888"),
    ("Dirac", "ancestral"): ("Dirac, ancestral", "#c63d02"),
    ("Dirac", "churn 20"): ("Dirac, churn 20", "#f16913"),
    ("Gaussian likelihood, MSDM's 1/2", "churn 20, twice"): ("Gaussian likelihood", "#8856a7"),
    ("Dirac", "churn 20, twice"): ("Dirac, churn 20, twice", "#fd8d3c"),
    ("covariance projection", "ODE, DPM++ 2M"): ("covariance, ODE", "#6baed6"),
    ("Dirac", "churn 40, twice"): ("Dirac, churn 40, twice", "#fdae6b"),
    ("covariance projection", "ancestral"): ("covariance, ancestral", "#2171b5"),
    ("covariance projection", "churn 20, twice"): ("covariance, churn 20, twice", "#08306b"),
    ("covariance projection", "DAPS"): ("covariance, DAPS", "#238b45"),
}
"""Rules and solvers in the figure, from the top down at its right end; their names and colours."""
LOWEST, HIGHEST = 8e-5, 3.0
STYLE = {
    "svg.hashsalt": "oracles",  # the same file every time
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(rows: list[GaussianRow], path: Path) -> None:
    """The figure: bias against evaluations."""
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
        height = HIGHEST
        for (rule, solver), (name, colour) in CURVES.items():
            curve = [row for row in rows if (row.rule, row.solver) == (rule, solver)]
            cost, bias = zip(
                *[(row.evaluations, row.bias) for row in curve if not row.constrained], strict=True
            )
            axes.plot(cost, bias, color=colour, marker="o", markersize=4)
            if bias[-1] > LOWEST:  # at the right end, each name below the one before
                height = min(bias[-1], height * 0.72)
                at = {"xy": (cost[-1], bias[-1]), "xytext": (1500, height)}
            else:  # it leaves the figure: beside its first point
                at = {"xy": (cost[0], bias[0]), "xytext": (cost[0] * 1.12, bias[0])}
            axes.annotate(name, **at, color=colour, va="center", fontsize=9)
        axes.set(xscale="log", yscale="log", xlim=(4, 1400), ylim=(LOWEST, HIGHEST))
        axes.set(xlabel="network evaluations per source", ylabel="bias, in posterior deviations")
        axes.set_xticks([5, 10, 25, 50, 150, 300, 600, 1200], minor=False)
        axes.minorticks_off()
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
        axes.grid(which="major", color="#e8e8e8", linewidth=0.8)
        axes.set_title("Bias of the samples' mean, four Gaussian sources", loc="left", fontsize=11)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
