"""Table 2: methods against stems, SI-SDR improvement.

    gmsdi sweep experiments/table2_separation.py --data shards          # Slakh2100, all test songs
    gmsdi sweep experiments/table2_separation.py --data minislakh --quick

Expected on Slakh2100 with the paper's model: the published numbers, in the table itself; nobody has
measured them with this code. The paper's ensemble takes the better method of each stem on the test
songs; ours chooses on validation songs. MSDM's rows are computed where a model is: the joint one in
runs/msdm_joint (`gmsdi convert` makes it of the published checkpoint). Below stand two methods of
ours. Hardware and hours on Slakh: not measured. Quick: see docs/reproduce.md.
"""

from gmsdi_jax.sweep import Stems, Sweep

LINEAGE = {"steps": 150, "resamples": 2, "s_churn": 20.0, "sigma_min": 1e-4, "overlap": 0.0}


def sweep() -> Sweep:
    """The table."""
    return Sweep(
        title="Table 2: separation",
        axes={
            "method": {
                "MSDM": {"model": "runs/msdm_joint", "method": "dirac", "guidance": 1.0,
                         "constrained": "Bass"},
                "Separator": {"method": "dirac", "constrained": "Drums", "guidance": 3.0},
                "Extractor": {"method": "extract", "guidance": 7.5},
                "Separator, no guidance": {"method": "dirac", "constrained": "Drums",
                                           "guidance": 1.0},
                "Extractor, no guidance": {"method": "extract", "guidance": 1.0},
                "project (ours)": {"method": "project", "steps": 25, "resamples": 1,
                                   "filter": True, "guidance": 1.0},
                "read-out (ours)": {"method": "direct", "guidance": 1.0},
            },
        },
        base=LINEAGE,
        table=Stems(
            rows="method",
            paper={
                "Demucs + Gibbs (512)": (17.16, 19.61, 17.82, 16.32, 17.73),
                "Weakly MSDM": (19.36, 20.90, 14.70, 14.13, 17.27),
                "MSDM": (17.12, 18.68, 15.38, 14.73, 16.48),
                "Separator": (9.76, 15.57, 9.13, 9.57, 11.01),
                "Extractor": (11.00, 10.55, 9.52, 10.13, 10.30),
                "Ensemble": (11.00, 15.57, 9.52, 10.13, 11.56),
            },
            best_of={
                "Ensemble": ("Separator", "Extractor"),
                "Ensemble, no guidance": ("Separator, no guidance", "Extractor, no guidance"),
            },
        ),
        quick={
            "songs": 1,
            "seconds": 5.9,
            "steps": 24,
            "s_churn": 0.0,
            "resamples": 1,
            "method": (
                "Separator, no guidance", "Extractor, no guidance", "project (ours)",
                "read-out (ours)",
            ),
        },
        note="The paper's numbers are of Slakh2100 and its own, unpublished model.",
    )  # fmt: skip
