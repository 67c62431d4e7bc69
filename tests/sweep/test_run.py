"""Cells are computed once, by whoever claims them, and a kill costs the song under work."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gmsdi_jax.errors import ConfigError, NumericsError
from gmsdi_jax.metrics.summary import ALL
from gmsdi_jax.sweep import Grid, Stems, Sweep, plan, render, run
from gmsdi_jax.sweep.claim import claimed
from gmsdi_jax.sweep.jobs import Sources
from gmsdi_jax.sweep.tables import means

METHODS = {
    "read-out": {"method": "direct", "guidance": 1.0},
    "leaky": {"method": "direct", "guidance": 3.0},
    "drawn": {"method": "project", "steps": 2},
}
TABLE = Stems(
    rows="method",
    paper={"leaky": (1.0, None, 2.5), "Published": (7.0, 8.0, 7.5)},
    best_of={"Best": ("read-out", "leaky")},
)


def sweep(**options):
    return Sweep(
        **{"title": "T", "axes": {"method": METHODS}, "table": TABLE, "songs": 2} | options
    )


def column(text, row, number):
    """A cell of the last table."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {row} ")]
    return lines[-1].split("|")[1 + number].strip()


def test_a_table_from_first_to_last(sources):
    """Numbers ordered as by design, the paper's beside them, baselines below, the best of two."""
    planned = plan(sweep(), sources())
    said = []
    assert run(planned, say=said.append) == 0
    assert said == ["8 cells, 0 are there already; 16 parts to compute"]
    text = render(planned)
    sharp, leaky = (float(column(text, row, 3).split(" /")[0]) for row in ("read-out", "leaky"))
    assert_allclose(sharp, 20 * np.log10(0.9 / 0.1), atol=1.5)
    assert sharp > leaky + 3
    assert column(text, "leaky", 1).endswith(" / 1.00")
    assert "/" not in column(text, "leaky", 2)
    assert column(text, "Published", 3) == "- / 7.50"
    assert column(text, "Best", 3) == column(text, "read-out", 3)
    assert column(text, "mixture", 3) == "0.00"
    assert "by `active`" in text
    assert "by `msdm`" in text
    assert "2 test songs, whole" in text


def test_nothing_is_computed_twice(sources):
    """By the same sweep, by another one of the same settings, or for fewer songs."""
    run(plan(sweep(), sources()))
    for again in (
        sweep(),
        sweep(songs=1),
        sweep(title="other", axes={"guidance": (1.0, 3.0)}, base={"method": "direct"},
              table=Stems(rows="guidance")),
    ):  # fmt: skip
        opened = sources()
        planned = plan(again, opened)
        assert run(planned) == 0
        assert opened.fake.calls == 0
    more = plan(sweep(songs=3), sources())
    assert sum(job.missing for _, job in more.jobs.values()) == 8


def test_a_killed_sweep_goes_on(sources):
    """The song under work is lost, nothing else; the end is that of an undisturbed run."""

    def killed(done, total, note):
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan(sweep(), sources()), killed)
    opened = sources()
    planned, parts = plan(sweep(), opened), []
    assert sum(job.missing for _, job in planned.jobs.values()) == 6
    run(planned, lambda *what: parts.append(what))
    assert [part[:2] for part in parts] == [(n, 6) for n in range(6)]
    whole = means(planned.separation({"method": "leaky"}), "active")
    with np.errstate(all="ignore"):
        assert set(whole) == {"Low", "High", ALL}


def test_a_cell_of_another_process_is_left_to_it(sources):
    """The table shows a gap, and how many cells are to come."""
    planned = plan(sweep(), sources())
    job = planned.separation({"method": "drawn"})
    assert job is not None
    with claimed(job.folder):
        assert run(planned) == 1
        assert column(render(planned), "drawn", 3) == "-"
    assert run(planned) == 0
    assert column(render(planned), "drawn", 3) != "-"


def test_other_weights_or_songs_are_other_cells(sources, shards, tmp_path):
    """Nothing old is shown as new."""
    run(plan(sweep(), sources()))
    other = sources()
    other.fake.digest = "1" * 64
    planned = plan(sweep(), other)
    rows = [job for _, job in planned.cells]
    assert all(job is not None and job.missing == 2 for job in rows)
    assert all(job.missing == 0 for job in planned.baselines.values())
    seconds = plan(sweep(seconds=5.0), sources())
    assert all(job.missing == 2 for _, job in seconds.jobs.values())


def test_a_method_that_diverges_is_nan_and_no_end(sources, monkeypatch):
    """It is kept as such, and not tried again."""
    opened = sources()
    planned = plan(sweep(axes={"guidance": (1.0, 3.0)}, table=Stems(rows="guidance")), opened)
    job = planned.separation({"guidance": "3"})
    assert job is not None

    def fail(song):
        raise NumericsError("NaN")

    monkeypatch.setattr(type(job.runs[0]), "estimate", property(lambda run: fail), raising=False)
    run(planned)
    monkeypatch.undo()
    assert job.missing == 0
    assert column(render(planned), "3", 3) == "nan"


def test_a_grid_has_the_papers_numbers_by_place(sources):
    paper = {"read-out": (9.0, None)}
    methods = {"read-out": {"method": "direct"}, "drawn": {"method": "project", "steps": 2}}
    planned = plan(
        sweep(
            axes={"method": methods, "guidance": (1.0, 3.0)},
            table=Grid(rows="method", columns="guidance", paper=paper),
        ),
        sources(),
    )
    run(planned)
    text = render(planned)
    assert column(text, "read-out", 1).endswith(" / 9.00")
    assert "/" not in column(text, "read-out", 2)
    assert column(text, "silence", 1) == column(text, "silence", 2)


def test_one_split_is_not_the_folder_of_splits(shards, tmp_path):
    with pytest.raises(ConfigError, match="name the folder above it"):
        Sources(tmp_path, shards / "test", tmp_path)
