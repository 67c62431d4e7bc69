"""Pieces are drawn once each, beside real ones; a kill costs the piece under work."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import soundfile
from evaluate.tones import CONFIG, LABELS, write_songs

from gmsdi_jax.build import Model
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.pipeline import GMSDI
from gmsdi_jax.sweep import Distances, Sweep, plan, render, run
from gmsdi_jax.sweep.jobs import Sources

PARTIAL = {"task": "accompany", "stems": ("Low",), "given": ("High",)}


def sweep(**options):
    values = {
        "title": "drawn",
        "axes": {"what": {"alone": {"stems": ("Low",)}, "to High": PARTIAL}},
        "base": {"task": "generate", "steps": 2},
        "table": Distances(rows="what"),
        "songs": 2,
        "seconds": 0.512,
    }
    return Sweep(**{**values, **options})


@pytest.fixture
def opened(tmp_path):
    """At a rate that files may have."""
    write_songs(tmp_path / "shards/test", rate=8000)
    config = replace(CONFIG, sample_rate=8000)
    drawing = GMSDI(config, jax.jit(Model(config).init)(jax.random.key(0)))
    found = Sources(tmp_path / "store", tmp_path / "shards", tmp_path)
    found.model = lambda name: drawing  # type: ignore[assignment]
    return found


@pytest.mark.slow  # it compiles
def test_pieces_are_drawn_compared_and_kept(opened):
    """What was given is in the mixture; the second run draws nothing; a lost piece is redrawn."""
    planned, parts = plan(sweep(), opened), []
    run(planned, lambda done, total, note: parts.append((done, total)))
    assert parts == [(n, 4) for n in range(4)]
    job = planned.of({"what": "to High"})
    assert job is not None
    piece = job.folder / "pieces" / "00001"
    given, rate = soundfile.read(piece / "high.wav", dtype="float32")
    real = planned.of({"what": "alone"}).real  # type: ignore[union-attr]
    assert rate == 8000
    np.testing.assert_allclose(given, real.stem(1, LABELS[1])[:, 0], atol=1e-7)  # rounding
    text = render(planned)
    assert text.count("| real music |") == 2
    assert [line.split("|")[2].strip() for line in text.splitlines()[4:8:2]] == ["Low", "mix"]
    before, _ = soundfile.read(piece / "low.wav")
    (piece / "gmsdi.json").unlink()  # what is written last
    parts.clear()
    run(plan(sweep(), opened), lambda done, total, note: parts.append((done, total)))
    assert parts == [(0, 1)]
    np.testing.assert_array_equal(soundfile.read(piece / "low.wav")[0], before)


def test_an_accompaniment_needs_something_to_go_with(opened):
    with pytest.raises(ConfigError, match="given ones to accompany"):
        plan(sweep(axes={"what": {"x": {"task": "accompany", "stems": ("Low",)}}}), opened)
