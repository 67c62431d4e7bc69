"""Figure 2: stems drawn one by one from their names, against real stems.

    gmsdi sweep experiments/figure2_single_stem.py --data shards --hear encoders/vggish
    gmsdi sweep experiments/figure2_single_stem.py --data minislakh --quick

200 pieces of 12 s each, ADPM2 of 150 steps, as stated. The paper shows the Fréchet audio distance
in a figure without numbers, and says that bass and drums often come out silent: silence is
measured here without any encoder. Expected number: none printed in the paper, not measured by
anybody with this code. Hardware and hours on Slakh: not measured; 300 network evaluations per
piece, twice that with guidance. Quick: see docs/reproduce.md.
"""

from gmsdi_jax.sweep import Distances, Sweep

STEMS = ("Bass", "Drums", "Guitar", "Piano")


def sweep() -> Sweep:
    """A row per stem, without and with guidance."""
    return Sweep(
        title="Figure 2: single stems",
        axes={
            "stem": {
                f"{stem}{said}": {"stems": (stem,), "guidance": scale}
                for stem in STEMS
                for said, scale in (("", 1.0), (", guidance 3", 3.0))
            }
        },
        base={"task": "generate", "steps": 150},
        table=Distances(rows="stem"),
        songs=200,
        seconds=2**18 / 22050,
        quick={"songs": 3, "seconds": 3.0, "steps": 30, "stem": STEMS},
        note="The paper's numbers are in a figure alone, and cannot be set beside ours.",
    )
