"""What churn and resampling do for the Separator.

    gmsdi sweep experiments/ablations/churn_and_resampling.py --data shards
    gmsdi sweep experiments/ablations/churn_and_resampling.py --data minislakh --quick

MSDM takes churn 20 or 40 and every step twice. Expected number: not measured, nor in the paper.
Hardware and hours: not measured.
"""

from gmsdi_jax.sweep import Grid, Sweep


def sweep() -> Sweep:
    """Churn across, times that each step is taken down."""
    return Sweep(
        title="Churn and resampling of the Separator",
        axes={"resamples": (1, 2, 4), "s_churn": (0.0, 20.0, 40.0, 80.0)},
        base={"method": "dirac", "steps": 150, "sigma_min": 1e-4, "guidance": 1.0},
        table=Grid(rows="resamples", columns="s_churn"),
        songs=20,
        seconds=24.0,
        quick={"songs": 1, "steps": 60, "resamples": (1, 2), "s_churn": (0.0, 20.0)},
    )
