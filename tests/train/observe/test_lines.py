"""Files of one JSON object per line: there at once, and cut where a run goes on."""

import json
import math
import resource

import pytest

from gmsdi_jax.errors import OutputError
from gmsdi_jax.train.observe import JsonLines, best_score, read_lines


def test_lines_are_there_as_soon_as_they_are_written(tmp_path):
    """One JSON object per line, flushed at once: a killed run has them."""
    path = tmp_path / "metrics.jsonl"
    writer = JsonLines(path, None)
    writer.write(10, {"loss": 0.5})
    writer.write(20, {"loss": 0.25, "score": 1.0})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 10, "loss": 0.5},
        {"step": 20, "loss": 0.25, "score": 1.0},
    ]
    writer.close()


def test_resuming_drops_what_comes_after_the_checkpoint(tmp_path):
    """Lines after the resumed step will be written again; earlier ones stay."""
    path = tmp_path / "metrics.jsonl"
    writer = JsonLines(path, None)
    for step in (10, 20, 30):
        writer.write(step, {"loss": step / 10})
    writer.close()
    again = JsonLines(path, 20)
    again.write(30, {"loss": -1.0})
    again.close()
    assert [(line["step"], line["loss"]) for line in read_lines(path)] == [
        (10, 1.0),
        (20, 2.0),
        (30, -1.0),
    ]


def test_a_last_line_cut_short_is_left_out(tmp_path):
    """A process killed within a write leaves half a line; resuming writes a whole file."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 10, "loss": 1.0}\n{"step": 20, "lo')
    assert read_lines(path) == [{"step": 10, "loss": 1.0}]
    writer = JsonLines(path, 20)
    writer.write(30, {"loss": 0.5})
    writer.close()
    assert path.read_text() == '{"step": 10, "loss": 1.0}\n{"step": 30, "loss": 0.5}\n'


def test_a_new_run_starts_an_empty_file(tmp_path):
    """Not resuming, nothing of an older file is kept; resuming without one is no error."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 10}\n')
    JsonLines(path, None).close()
    assert read_lines(path) == []
    JsonLines(tmp_path / "new.jsonl", 0).close()
    assert read_lines(tmp_path / "missing.jsonl") == []


def test_best_score_is_the_highest_so_far(tmp_path):
    """Lines without the score are passed over; without any it is minus infinity."""
    path = tmp_path / "metrics.jsonl"
    assert best_score(path, "score") == -math.inf
    path.write_text('{"step": 1, "score": 2.0}\n{"step": 2}\n{"step": 3, "score": -1.0}\n')
    assert best_score(path, "score") == 2.0


@pytest.fixture
def small_files():
    """No file may grow beyond 100 bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_error_and_loses_no_line(tmp_path, small_files):
    path = tmp_path / "metrics.jsonl"
    writer = JsonLines(path, None)
    for step in range(4):  # of 25 bytes each
        writer.write(step, {"loss": 0.5})
    with pytest.raises(OutputError, match=r"metrics.jsonl: cannot be written \(File too large\)"):
        writer.write(4, {"loss": 0.5})
    writer.close()
    assert [line["step"] for line in read_lines(path)] == [0, 1, 2, 3]


def test_resuming_on_a_full_disk_leaves_the_curve_alone(tmp_path, request):
    path = tmp_path / "metrics.jsonl"
    text = "".join(json.dumps({"step": step, "loss": 0.5}) + "\n" for step in range(20))
    path.write_text(text)
    request.getfixturevalue("small_files")
    with pytest.raises(OutputError):
        JsonLines(path, 19)
    assert path.read_text() == text
