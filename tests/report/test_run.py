"""Reading an evaluation, and what is said of a folder that is none."""

import json

import pytest
from evaluated import evaluation

from gmsdi_jax.errors import InputError, UnavailableError
from gmsdi_jax.report import read_run


@pytest.fixture
def folder(tmp_path):
    return evaluation(tmp_path / "run", {"a": {"ours": 12.0, "other": 6.0}})


def test_active_comes_first_and_methods_in_their_order(folder):
    run = read_run(folder)
    assert list(run.scores) == ["active", "msdm"]
    assert list(run.scores["active"]) == ["ours", "other", "mixture", "silence"]
    assert run.judged == "ours"
    assert [name for name in run.methods if run.is_baseline(name)] == ["mixture", "silence"]
    assert run.scores["active"]["ours"][0].improvement == pytest.approx(12.0, abs=1e-3)


def test_without_any_method_a_baseline_is_judged(tmp_path):
    assert read_run(evaluation(tmp_path / "run", {"a": {}})).judged == "mixture"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "generation"}, "kind is 'generation'"),
        ({"version": 9}, "version is 9, this gmsdi reads 1"),
        ({"labels": []}, "labels is missing or empty"),
        ({"methods": None}, "methods is missing or empty"),
    ],
)
def test_facts_that_cannot_be_used_are_named(folder, change, said):
    path = folder / "evaluation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=said):
        read_run(folder)


def test_a_folder_that_is_no_evaluation_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match=r"no such folder.*gmsdi evaluate"):
        read_run(tmp_path / "missing")
    with pytest.raises(InputError, match=r"no evaluation.json in it.*gmsdi evaluate"):
        read_run(tmp_path)
    (tmp_path / "evaluation.json").write_text("{")
    with pytest.raises(InputError, match=r"evaluation.json: cannot be read"):
        read_run(tmp_path)


def test_an_evaluation_without_scores_is_refused(folder):
    (folder / "scores.parquet").unlink()
    with pytest.raises(UnavailableError, match=r"scores.parquet"):
        read_run(folder)
