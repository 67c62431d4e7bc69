"""The listening report: what an evaluation measured, as a page to read, to hear and to vote on.

`write_report` turns the folder that ``gmsdi evaluate -o RUN`` writes into another folder, which
holds one page, the sounds it plays and their spectrograms. It needs no server and no network: it
opens from a disk, from a memory stick or from any place that serves files.

The parts, each a step of the way from files to the page:

    run        evaluation.json and scores.parquet, checked
    tables     scorecards with intervals, gains over the baselines, differences to another run
    settings   the configuration as keys and values, and its diff to another run
    ranking    songs, worst first, and improvement over time
    curve      intervals and curves as drawings
    sound      the files to hear, their spectrograms and null tests
    page       the template filled in, and the folder written whole or not at all
"""

from gmsdi_jax.report.page import PAGE, write_report
from gmsdi_jax.report.run import Run, read_run

__all__ = ["PAGE", "Run", "read_run", "write_report"]
