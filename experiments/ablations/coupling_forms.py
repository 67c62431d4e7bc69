"""Three readings of the coupling of stems, and ours, in total generation and accompaniment.

    gmsdi sweep experiments/ablations/coupling_forms.py --data shards
    gmsdi sweep experiments/ablations/coupling_forms.py --data minislakh --quick

The paper's text attracts (difference); the correlations of its own demos fit sum and mixture.
Expected number: not measured, nor in the paper. Hardware and hours: not measured.
"""

from gmsdi_jax.sweep import Distances, Sweep

FORMS = ("difference", "sum", "mixture", "projected")


def sweep() -> Sweep:
    """All forms, for all stems at once and for a bass to the others."""
    bass = {"task": "accompany", "stems": ("Bass",), "given": ("Drums", "Guitar", "Piano")}
    return Sweep(
        title="Forms of the coupling",
        axes={
            "coupling": {
                f"{form}, {name}": {"form": form, **task}
                for name, task in (("total", {"task": "generate"}), ("bass to others", bass))
                for form in FORMS
            }
        },
        base={"steps": 300},
        table=Distances(rows="coupling"),
        songs=50,
        quick={"songs": 2, "seconds": 3.0, "steps": 25},
    )
