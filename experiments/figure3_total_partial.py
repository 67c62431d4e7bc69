"""Figure 3: total and partial generation, mixtures against real mixtures.

    gmsdi sweep experiments/figure3_total_partial.py --data shards --hear encoders/vggish
    gmsdi sweep experiments/figure3_total_partial.py --data minislakh --quick

200 pieces of 12 s each; 600 steps for total, 300 for partial generation, as stated. Partial
generation is heard together with what was given, so that its distance is the paper's sub-FAD; the
single stem of each row is drawn to the three others. Expected number: none printed in the paper,
not measured by anybody with this code. Hardware and hours on Slakh: not measured; 1200 network
evaluations per stem of a total piece. Quick: see docs/reproduce.md.
"""

from gmsdi_jax.sweep import Distances, Sweep

STEMS = ("Bass", "Drums", "Guitar", "Piano")


def sweep() -> Sweep:
    """Total generation, and each stem drawn to all others."""
    partial = {
        f"{stem} to the others": {
            "task": "accompany",
            "stems": (stem,),
            "given": tuple(other for other in STEMS if other != stem),
        }
        for stem in STEMS
    }
    return Sweep(
        title="Figure 3: total and partial generation",
        axes={"task": {"total": {"task": "generate", "steps": 600}, **partial}},
        base={"steps": 300},
        table=Distances(rows="task"),
        songs=200,
        seconds=2**18 / 22050,
        quick={"songs": 2, "seconds": 3.0, "steps": 30},
        note="The paper's numbers are in a figure alone, and cannot be set beside ours.",
    )
