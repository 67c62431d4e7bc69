"""Table 1: guidance scale against the constrained source, SI-SDR improvement.

    gmsdi sweep experiments/table1_guidance.py --data shards            # Slakh2100, all test songs
    gmsdi sweep experiments/table1_guidance.py --data minislakh --quick

Expected on Slakh2100 with the paper's model: the published numbers, in the table itself; nobody has
measured them with this code. The scales of the paper's four columns are lost; 3, 7.5, 15 and 24 are
our guess, so that its numbers belong to columns by their order alone. Hardware and hours on Slakh:
not measured; a window of 11.9 s takes 2400 network evaluations, about 3700 windows 20 times. Quick:
see docs/reproduce.md.
"""

from gmsdi_jax.sweep import Grid, Sweep

STEMS = ("Bass", "Drums", "Guitar", "Piano")


def sweep() -> Sweep:
    """The grid."""
    return Sweep(
        title="Table 1: guidance scale and constrained source",
        axes={
            "method": {
                "Extractor": {"method": "extract"},
                **{
                    f"Separator ({stem})": {"method": "dirac", "constrained": stem}
                    for stem in STEMS
                },
            },
            "guidance": (3.0, 7.5, 15.0, 24.0),
        },
        base={"steps": 150, "resamples": 2, "s_churn": 20.0, "sigma_min": 1e-4, "overlap": 0.0},
        table=Grid(
            rows="method",
            columns="guidance",
            paper={
                "Extractor": (7.66, 9.61, 6.00, -0.62),
                "Separator (Bass)": (8.10, 6.72, -1.09, -20.60),
                "Separator (Drums)": (9.44, 8.69, -1.48, -21.62),
                "Separator (Guitar)": (5.82, 4.37, -2.27, -17.49),
                "Separator (Piano)": (7.60, 6.41, -2.68, -16.90),
            },
        ),
        quick={
            "songs": 1,
            "seconds": 5.9,
            "steps": 24,
            "s_churn": 0.0,
            "resamples": 1,
            "guidance": (1.0, 3.0),
            "method": ("Extractor", "Separator (Bass)", "Separator (Drums)"),
        },
        note="The paper's numbers are of Slakh2100 and its own, unpublished model; the values of "
        "its guidance scales are lost, and its columns stand here by their order.",
    )
