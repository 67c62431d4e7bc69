"""Tables of many settings, filled cell by cell: one Python file declares them, one command runs.

    declare     `Sweep`: axes, what all cells share, and the table to show
    store       a folder of cells, each under the digest of all that its numbers depend on
    claim       who computes a cell, where several processes share a folder
    separation  cells that separate songs and score the stems
    generation  cells that draw pieces and measure how near they are to real ones
    run         the loop over cells
    tables      Markdown, with the paper's number beside ours

A cell's numbers depend on its settings, the model's weights, the data and the version of this
library; all of them are in its digest. Hence nothing is ever computed twice, by whichever table
it is asked for, and nothing old is shown as new.
"""

from gmsdi_jax.sweep.declare import Cell, Distances, Grid, Stems, Sweep
from gmsdi_jax.sweep.run import Plan, plan, run
from gmsdi_jax.sweep.tables import render

__all__ = [
    "Cell",
    "Distances",
    "Grid",
    "Plan",
    "Stems",
    "Sweep",
    "plan",
    "render",
    "run",
]
