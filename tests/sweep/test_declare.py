"""A sweep's cells are the product of its axes, and names that nothing answers to are refused."""

import pytest

from gmsdi_jax.errors import ConfigError
from gmsdi_jax.sweep import Grid, Stems, Sweep

METHODS = {"A": {"method": "dirac"}, "B": {"method": "extract", "steps": 7}}


def grid(**options):
    values = {
        "title": "t",
        "axes": {"method": METHODS, "guidance": (1.0, 3.0)},
        "base": {"steps": 5, "s_churn": 1.0},
        "table": Grid(rows="method", columns="guidance"),
    }
    return Sweep(**{**values, **options})


def test_cells_are_the_product():
    """Axes override what is shared; a value's label is how it is written."""
    cells = grid().cells
    assert [cell.name for cell in cells] == ["A, 1", "A, 3", "B, 1", "B, 3"]
    assert cells[0].settings == {"method": "dirac", "steps": 5, "s_churn": 1.0, "guidance": 1.0}
    assert cells[3].settings["steps"] == 7
    few = grid(where=lambda cell: cell.settings["guidance"] > 1).cells
    assert [cell.name for cell in few] == ["A, 3", "B, 3"]
    with pytest.raises(ConfigError, match="no cell is left"):
        assert grid(where=lambda cell: False).cells


def test_quick_changes_amounts_axes_and_settings():
    """Its settings hold whatever an axis says."""
    quick = grid(quick={"songs": 1, "steps": 3, "guidance": (2.0,), "method": ("B",)}).quickly()
    assert (quick.songs, quick.seconds) == (1, 5.0)
    assert [cell.settings["steps"] for cell in quick.cells] == [3]
    assert [cell.name for cell in quick.cells] == ["B, 2"]


def test_published_numbers_stay_with_their_columns():
    """Where ``--quick`` takes other values, they have none."""
    table = Grid(rows="method", columns="guidance", paper={"A": (1.0, 2.0), "B": (3.0,)})
    quick = grid(table=table, quick={"guidance": (3.0, 9.0)}).quickly()
    assert isinstance(quick.table, Grid)
    assert quick.table.paper == {"A": [2.0, None], "B": [None, None]}


def test_the_best_of_rows_is_chosen_on_validation_songs():
    """The cells of the rows that are chosen from are there twice."""
    sweep = grid(axes={"method": METHODS}, table=Stems(rows="method", best_of={"Best": ("A", "B")}))
    assert [cell.split for cell in sweep.cells] == ["test", "test", "validation", "validation"]
    assert sweep.cells[3].name == "B, validation"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base": {"guidnace": 1}}, "'guidnace' is no setting"),
        ({"axes": {"method": {"A": {"stepz": 1}}, "guidance": (1.0,)}}, "'stepz' is no setting"),
        ({"quick": {"songz": 1}}, "'songz' is no setting"),
        ({"table": Grid(rows="method", columns="steps")}, "has no axis 'steps'"),
        ({"axes": {"method": METHODS, "guidance": ()}}, "'guidance' has no value"),
    ],
)
def test_what_nothing_answers_to_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        grid(**options)
