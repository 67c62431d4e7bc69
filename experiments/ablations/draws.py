"""How many posterior draws are averaged, and whether a filter is built of them instead.

    gmsdi sweep experiments/ablations/draws.py --data shards
    gmsdi sweep experiments/ablations/draws.py --data minislakh --quick

SI-SDR rewards the posterior mean. A method of ours: the paper has no number. Expected number: not
measured here; docs/separators.md has those of single windows. Hardware and hours: not measured.
"""

from gmsdi_jax.sweep import Grid, Sweep


def sweep() -> Sweep:
    """What is made of the draws down, their number across."""
    return Sweep(
        title="Draws",
        axes={
            "of the draws": {"mean": {"filter": False}, "filter": {"filter": True}},
            "draws": (1, 2, 4, 8),
        },
        base={"method": "project", "steps": 10},
        table=Grid(rows="of the draws", columns="draws"),
        songs=20,
        seconds=24.0,
        quick={"songs": 1, "draws": (1, 2)},
    )
