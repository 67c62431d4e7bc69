"""The choice is the best that songs agree on, the default without such, and never seen by test."""

import dataclasses
import json

import pytest
from evaluate.tones import CONFIG, LABELS, FakeModel, write_songs

from gmsdi_jax.cli import main
from gmsdi_jax.config import model_from_json, read_model_config, to_json
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.metrics.summary import Interval
from gmsdi_jax.pipeline.texts import chosen
from gmsdi_jax.sweep.choose import (
    NONE,
    Candidate,
    Choice,
    choose_constrained,
    choose_negatives,
    constrained_sweep,
    negatives_sweep,
)
from gmsdi_jax.sweep.jobs import Sources
from gmsdi_jax.weights import save_config

FOUR = ("Bass", "Drums", "Guitar", "Piano")
STEPS = {"steps": 60, "s_churn": 1.0}
AMOUNTS = {"songs": 3, "seconds": None, "seeds": 1}


class Prompted(FakeModel):
    """Leaks less where it is told the right things: High constrained, Low's negative."""

    def separator(self, stems, config, *, rows, seed, **prompting):
        told = prompting.get("constrained") == "High" or prompting.get("negatives")
        leaks = dataclasses.replace(config, guidance=0.1 if told else 1.0)  # what the fake scales
        return super().separator(stems, leaks, rows=rows, seed=seed, **prompting)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_songs(folder / "validation")
    return folder


@pytest.fixture
def opened(data, tmp_path):
    sources = Sources(tmp_path / "store", data, tmp_path)
    sources.fake = Prompted(leak=0.2)  # type: ignore[attr-defined]
    sources.model = lambda name: sources.fake  # type: ignore[assignment,attr-defined]
    return sources


def test_the_constrained_stem_that_songs_agree_on(opened):
    """The default is the first candidate; the other one wins by design."""
    sweep = constrained_sweep(LABELS, STEPS, **AMOUNTS)
    choice = choose_constrained(sweep, opened, "Low")
    assert [some.name for some in choice.candidates] == ["Low", "High"]
    assert choice.best.value == "High"
    assert choice.best.gain is not None
    assert choice.best.gain.low > 5
    assert choose_constrained(sweep, opened, "High").best.value == "High"


def test_negatives_are_chosen_stem_by_stem(opened):
    """With two labels there is one candidate beside none, and it wins for both."""
    sweep = negatives_sweep(LABELS, {**STEPS, "guidance": 2.0}, **AMOUNTS)
    choices = choose_negatives(sweep, opened)
    assert {name: choice.best.value for name, choice in choices.items()} == {
        "Low": "High",
        "High": "Low",
    }
    assert choices["Low"].candidates[0].name == NONE


def test_a_stopped_search_goes_on(opened):
    """What is in the store is not computed again."""
    sweep = constrained_sweep(LABELS, STEPS, **AMOUNTS)
    choose_constrained(sweep, opened, "Low")
    before = opened.fake.calls
    choose_constrained(sweep, opened, "Low")
    assert opened.fake.calls == before > 0


def test_candidates_of_negatives():
    """Every other label once, and all of them together; none without guidance."""
    sweep = negatives_sweep(FOUR, {"guidance": 2.0}, **AMOUNTS)
    drums = [cell.settings["negatives"].get("Drums", "") for cell in sweep.cells]
    assert drums == ["", "Guitar", "Piano", "Bass", "Bass, Guitar, Piano"]
    assert {cell.split for cell in sweep.cells} == {"validation"}
    with pytest.raises(ConfigError, match="through guidance"):
        negatives_sweep(FOUR, {}, **AMOUNTS)


def test_the_default_stays_without_certainty():
    """A higher mean is not enough, and what diverged never wins."""
    default = Candidate("default", "d", 5.0, None)
    unsure = Candidate("unsure", "u", 7.0, Interval(-0.5, 4.5))
    sure = Candidate("sure", "s", 6.0, Interval(0.5, 1.5))
    nan = Candidate("diverged", "n", float("nan"), None)
    assert Choice("x", (default, unsure, nan)).best is default
    assert Choice("x", (default, unsure, sure, nan)).best is sure
    assert Choice("x", (nan, sure)).best is sure


def test_test_songs_are_refused(tmp_path, opened):
    """Validation data that is test data under another name gives one line."""
    for name in ("test", "validation"):
        write_songs(tmp_path / "leak" / name)
    leaky = Sources(tmp_path / "store", tmp_path / "leak", tmp_path)
    leaky.model = opened.model
    with pytest.raises(ConfigError, match="4 of its 4 tracks are in test as well, T0 the first"):
        choose_constrained(constrained_sweep(LABELS, STEPS, **AMOUNTS), leaky, "Low")


def test_the_choice_is_followed(tmp_path):
    """It survives config.json, and what is given, or does not matter, comes before it."""
    config = dataclasses.replace(CONFIG, constrained="Low", negatives={"High": "Low"})
    save_config(tmp_path, config)
    assert read_model_config(tmp_path) == config
    assert model_from_json(to_json(config)) == config
    old = {k: v for k, v in to_json(config).items() if k not in ("constrained", "negatives")}
    assert model_from_json(old) == CONFIG
    dirac = SeparationConfig(method="dirac", guidance=2.0)
    own = {"constrained": "Low", "negative": "", "negatives": {"High": "Low"}}
    assert chosen(config, LABELS, dirac) == own
    assert chosen(config, ["low"], dirac) == {**own, "negatives": {}}
    assert chosen(config, LABELS, dirac, "High", negatives={}) == {
        **own, "constrained": "High", "negatives": {},
    }  # fmt: skip
    assert chosen(config, LABELS, dirac, negative="Low")["negatives"] == {}
    assert chosen(config, LABELS, SeparationConfig())["constrained"] is None
    assert chosen(config, LABELS, SeparationConfig())["negatives"] == {}


def test_the_command(capsys, monkeypatch, tmp_path, opened, data):
    """Tables and the two entries; the file changes with --write alone."""
    save_config(tmp_path, CONFIG)
    before = (tmp_path / "config.json").read_text()
    monkeypatch.setattr("gmsdi_jax.cli.choose.Sources", lambda *_: opened)
    command = ["choose", "--data", str(data), "-m", str(tmp_path), "--steps", "60", "--songs", "3"]
    assert main([*command, "--what", "constrained"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out.splitlines()[-1]) == {"constrained": None, "negatives": {}}
    assert (tmp_path / "config.json").read_text() == before
    monkeypatch.setattr("gmsdi_jax.cli.choose.constrained_by_default", lambda labels: "Low")
    assert main([*command, "--write"]) == 0
    found = read_model_config(tmp_path)
    assert (found.constrained, found.negatives) == ("High", {"Low": "High", "High": "Low"})
    assert "| High |" in capsys.readouterr().out
    assert main([*command, "--guidance", "1"]) == 2
