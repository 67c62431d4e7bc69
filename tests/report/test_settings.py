"""The configuration, flat, and its diff."""

from evaluated import evaluation

from gmsdi_jax.report import read_run
from gmsdi_jax.report.settings import Difference, differences, settings

SONGS = {"a": {"ours": 10.0}}


def test_settings_are_dotted_keys_and_text(tmp_path):
    chosen = {"steps": 25, "guidance": 1.5, "sigmas": [0.02, 0.1], "filter": False}
    found = settings(read_run(evaluation(tmp_path / "run", SONGS, settings=chosen)))
    assert found["methods.ours.settings.steps"] == "25"
    assert found["methods.ours.settings.guidance"] == "1.5"
    assert found["methods.ours.settings.sigmas"] == "0.02, 0.1"
    assert found["methods.ours.settings.filter"] == "no"
    assert found["data.path"] == "sines"
    assert found["model"] == "none"
    assert not [key for key in found if "real_time" in key or key == "version"]


def test_only_what_differs_is_told(tmp_path):
    more = {"a": {"ours": 10.0, "other": 5.0}}
    here = read_run(evaluation(tmp_path / "a", more, settings={"steps": 25, "rho": 7.0}))
    there = read_run(evaluation(tmp_path / "b", SONGS, settings={"steps": 50, "churn": 20}))
    assert differences(here, here) == []
    assert differences(here, there) == [
        Difference("methods.ours.settings.steps", "25", "50"),
        Difference("methods.ours.settings.rho", "7", None),
        Difference("methods.other", "scored", None),
        Difference("methods.ours.settings.churn", None, "20"),
    ]
