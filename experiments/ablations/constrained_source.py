"""Which stem the Separator leaves to be the rest, and the mean of all choices.

    gmsdi sweep experiments/ablations/constrained_source.py --data shards
    gmsdi sweep experiments/ablations/constrained_source.py --data minislakh --quick

Expected on Slakh2100: Drums, as in the paper's table 1 at its best scale; not measured with this
code. Hardware and hours: not measured.
"""

from gmsdi_jax.sweep import Stems, Sweep


def sweep() -> Sweep:
    """A row per choice."""
    stems = ("Bass", "Drums", "Guitar", "Piano")
    return Sweep(
        title="Constrained source",
        axes={
            "constrained": {
                **{stem: {"constrained": stem} for stem in stems},
                "each in turn": {"constrain": "each"},
            }
        },
        base={"method": "dirac", "steps": 150, "resamples": 2, "sigma_min": 1e-4, "guidance": 1.0},
        table=Stems(rows="constrained"),
        songs=20,
        seconds=24.0,
        quick={"songs": 1, "steps": 60, "resamples": 1, "constrained": ("Bass", "Drums")},
    )
