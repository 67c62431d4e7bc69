"""Over how many STFT frames and bins the projection averages power.

    gmsdi sweep experiments/ablations/projection_smoothing.py --data shards
    gmsdi sweep experiments/ablations/projection_smoothing.py --data minislakh --quick

A method of ours: the paper has no number. Expected number: not measured. Hardware and hours: not
measured.
"""

from gmsdi_jax.sweep import Grid, Sweep


def sweep() -> Sweep:
    """Smoothing down, weights across."""
    return Sweep(
        title="Smoothing of the projection",
        axes={
            "smoothing": ((1, 1), (3, 3), (5, 5), (9, 5)),
            "weights": ("shares", "local_power"),
        },
        base={"method": "project", "steps": 25},
        table=Grid(rows="smoothing", columns="weights"),
        songs=20,
        seconds=24.0,
        quick={"songs": 1, "steps": 10, "smoothing": ((1, 1), (3, 3)), "weights": ("shares",)},
    )
