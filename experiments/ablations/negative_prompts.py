"""Negative prompts of the Extractor: none, the paper's, and all other stems.

    gmsdi sweep experiments/ablations/negative_prompts.py --data shards
    gmsdi sweep experiments/ablations/negative_prompts.py --data minislakh --quick

The paper gives Bass and Drums negatives when it extracts. Expected number: not measured, nor in the
paper. Hardware and hours: not measured.
"""

from gmsdi_jax.sweep import Grid, Sweep

STEMS = ("Bass", "Drums", "Guitar", "Piano")
PAPER = {"Bass": "Drums, Guitar, Piano", "Drums": "Bass"}


def sweep() -> Sweep:
    """Prompts down, guidance scales across."""
    others = {stem: ", ".join(other for other in STEMS if other != stem) for stem in STEMS}
    return Sweep(
        title="Negative prompts of the Extractor",
        axes={
            "negatives": {
                "learned null": {},
                "the paper's": {"negatives": PAPER},
                "all others": {"negatives": others},
            },
            "guidance": (1.5, 3.0, 7.5),
        },
        base={"method": "extract", "steps": 150, "sigma_min": 1e-4},
        table=Grid(rows="negatives", columns="guidance"),
        songs=20,
        seconds=24.0,
        quick={"songs": 1, "steps": 25, "guidance": (1.5,)},
    )
