"""What a sweep is: axes whose product are the cells, and the table that shows them.

An axis is either a setting with its values, ``"guidance": (1.0, 3.0)``, or a name with options that
each set several things, ``"method": {"Extractor": {"method": "extract"}}``. Settings are those of
`SeparationConfig` or, where ``task`` is generate or accompany, of `GenerationConfig`, and these:

==============  ==============================================================================
model           folder of another model than the command's; its cells stay empty where it is
                not there
split           of the prepared data: test, or validation
task            separate, generate (stems from text) or accompany (stems to given ones)
constrained     the stem that dirac leaves to be the rest
negative        a negative prompt of all stems
negatives       negative prompts of single stems, a dict
overlap         share of a separated window that the next one repeats
stems, given    of generation: what to draw, and to what; tuples of labels
==============  ==============================================================================

What is not set is the model's own, as in ``gmsdi evaluate``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from typing import Any

from gmsdi_jax.errors import ConfigError
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.pipeline import GenerationConfig

Settings = Mapping[str, Any]
Paper = Mapping[str, Sequence[float | None]]
"""Published numbers by row, in the order of the columns; None where there is none."""
TASKS = ("separate", "generate", "accompany")
_SHARED = {"model", "split", "task"}
_SEPARATES = {field.name for field in fields(SeparationConfig)}
_DRAWS = {field.name for field in fields(GenerationConfig)}
SEPARATION = _SEPARATES | {"constrained", "negative", "negatives", "overlap"}
GENERATION = _DRAWS | {"stems", "given", "negative", "negatives"}
_AMOUNTS = ("songs", "seconds", "seeds")


@dataclass(frozen=True)
class Cell:
    """One combination of the axes."""

    labels: Mapping[str, str]
    """What it is called on each axis."""
    settings: Settings

    @property
    def task(self) -> str:
        """What it does."""
        return self.settings.get("task", "separate")

    @property
    def split(self) -> str:
        """On which songs."""
        return self.settings.get("split", "test")

    @property
    def name(self) -> str:
        """Its place on all axes."""
        return ", ".join(self.labels.values()) + ("" if self.split == "test" else f", {self.split}")


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The mean over all stems, one axis down and one across."""

    rows: str
    columns: str
    paper: Paper = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Stems:
    """An axis down, the stems and their mean across."""

    rows: str
    paper: Paper = field(default_factory=dict)
    """Of the stems in the model's order, then of all. Rows that nobody computes are shown too."""
    best_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Rows that take, stem by stem, the row that is best on the validation split."""


@dataclass(frozen=True, kw_only=True)
class Distances:
    """An axis down, distances from real music and the sound of it across."""

    rows: str


Table = Grid | Stems | Distances


def everything(cell: Cell) -> bool:
    """The filter that leaves nothing out."""
    return True


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A table of settings.

    Raises:
        ConfigError: a setting is unknown, or the table names an axis that is none.
    """

    title: str
    axes: Mapping[str, Sequence[Any] | Mapping[str, Settings]]
    base: Settings = field(default_factory=dict)
    """What all cells share, unless an axis says otherwise."""
    where: Callable[[Cell], bool] = everything
    """Which cells of the product there are."""
    table: Table
    songs: int | None = None
    """How many songs of the split, from the first, or pieces to draw; all, or 200, by default."""
    seconds: float | None = None
    """How much of each; all of a song, or the model's window, by default."""
    seeds: int = 1
    """How many seeds of methods that draw."""
    quick: Settings = field(default_factory=dict)
    """What ``--quick`` changes: songs, seconds, seeds, the options of axes, and settings, which
    then hold whatever an axis says."""
    last: Settings = field(default_factory=dict)
    """What holds in all cells, whatever an axis says."""
    note: str = ""
    """Said below the table."""

    def __post_init__(self) -> None:
        """Refuses names that nothing answers to."""
        known = _SHARED | SEPARATION | GENERATION
        asked = [name for name, options in self.axes.items() if not isinstance(options, Mapping)]
        asked += [*self.base, *self.last, *(set(self.quick) - {*self.axes, *_AMOUNTS})]
        for options in self.axes.values():
            if isinstance(options, Mapping):
                asked += [name for settings in options.values() for name in settings]
        for name in asked:
            if name not in known:
                raise ConfigError(f"sweep {self.title!r}: {name!r} is no setting or axis of it")
        for place in ("rows", "columns"):
            axis = getattr(self.table, place, None)
            if axis is not None and axis not in self.axes:
                raise ConfigError(f"sweep {self.title!r}: its table has no axis {axis!r}")
        for name, options in self.axes.items():
            if not options:
                raise ConfigError(f"sweep {self.title!r}: axis {name!r} has no value")

    def quickly(self) -> "Sweep":
        """The same sweep with what ``--quick`` changes; 2 songs of 5 s where it says nothing."""
        axes = dict(self.axes)
        for name in set(self.quick) & set(axes):
            wanted, options = self.quick[name], axes[name]
            axes[name] = (
                {label: options[label] for label in wanted}
                if isinstance(options, Mapping)
                else tuple(wanted)
            )
        settings = {k: v for k, v in self.quick.items() if k not in {*self.axes, *_AMOUNTS}}
        amounts = {"songs": 2, "seconds": 5.0} | {
            name: self.quick[name] for name in _AMOUNTS if name in self.quick
        }
        quick = replace(self, axes=axes, last={**self.last, **settings}, **amounts)
        return replace(quick, table=_same_columns(self, quick))

    def labels(self, axis: str) -> list[str]:
        """The options of an axis, as they are called."""
        return [label for label, _ in _options(axis, self.axes[axis])]

    @property
    def cells(self) -> list[Cell]:
        """The product of the axes, and on validation songs what `Stems.best_of` chooses from."""
        found = []
        for picks in product(*(_options(axis, values) for axis, values in self.axes.items())):
            settings = dict(self.base)
            for _, own in picks:
                settings |= own
            labels = {axis: label for axis, (label, _) in zip(self.axes, picks, strict=True)}
            found.append(Cell(labels, {**settings, **self.last}))
        found = [cell for cell in found if self.where(cell)]
        for rows in getattr(self.table, "best_of", {}).values():
            found += [
                Cell(cell.labels, {**cell.settings, "split": "validation"})
                for cell in found
                if cell.labels[self.table.rows] in rows and cell.split == "test"
            ]
        if not found:
            raise ConfigError(f"sweep {self.title!r}: no cell is left")
        return found


def _same_columns(sweep: Sweep, quick: Sweep) -> Table:
    """The table with published numbers of the columns that are left, and none of new ones."""
    table = sweep.table
    if not isinstance(table, Grid):
        return table
    before = sweep.labels(table.columns)
    places = [before.index(c) if c in before else None for c in quick.labels(table.columns)]
    paper = {
        row: [None if n is None or n >= len(values) else values[n] for n in places]
        for row, values in table.paper.items()
    }
    return replace(table, paper=paper)


def _options(axis: str, values: Any) -> list[tuple[str, Settings]]:
    """Labels and settings of an axis."""
    if isinstance(values, Mapping):
        return list(values.items())
    return [(_label(value), {axis: value}) for value in values]


def _label(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple | list):
        return " ".join(map(_label, value))
    return str(value)
