"""Labels of who plays in a window against labels of the track: two trainings, then one table.

    gmsdi train experiments/ablations/window_labels.py --data shards
    gmsdi train experiments/ablations/window_labels.py --data shards --windows.gate 0 --out runs/track_labels
    gmsdi sweep experiments/ablations/window_labels.py --data shards
    gmsdi sweep experiments/ablations/window_labels.py --data minislakh --quick

With a gate of 0 every class counts as playing throughout, which is what labels of the track say of
Slakh2100, whose tracks hold all four. Label-disjoint mixing is off in both: it needs labels that
differ. A row stays empty until its training is there. Expected number: not measured; the second
model should be unable to tell stems apart. Hardware: two CPU cores, about 1.5 hours both on
MiniSlakh, by the time that `experiments/minislakh_tiny.py` took.
"""  # noqa: E501

from dataclasses import replace
from pathlib import Path

from experiments.minislakh_tiny import config as tiny
from gmsdi_jax.config import TrainConfig
from gmsdi_jax.sweep import Stems, Sweep


def config() -> TrainConfig:
    """The run with labels by window."""
    base = tiny()
    return replace(base, out=Path("runs/window_labels"), windows=replace(base.windows, mixing=0.0))


def sweep() -> Sweep:
    """Both models, by the read-out."""
    return Sweep(
        title="Labels of windows and of tracks",
        axes={
            "labels": {
                "of windows": {"model": "runs/window_labels/best"},
                "of tracks": {"model": "runs/track_labels/best"},
                "of windows, with mixing": {},
            }
        },
        base={"method": "direct"},
        table=Stems(rows="labels"),
        quick={"songs": 2},
    )
