"""A model's folder and the hub's are one form: saved, loaded, pushed, clearly said to be absent."""

import json
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError
from numpy.testing import assert_array_equal

from gmsdi_jax.errors import UnavailableError
from gmsdi_jax.pipeline import GMSDI, hub


@pytest.fixture
def offline(monkeypatch):
    """What is asked of the hub, and the way it answers."""
    asked = []

    def answer_with(answer):
        def snapshot_download(name, **options):
            asked.append((name, options))
            if isinstance(answer, Exception):
                raise answer
            return str(answer)

        monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
        return asked

    return answer_with


def refused(kind):
    """An error of the hub's, which wants the response that it came with."""

    return kind("no", response=SimpleNamespace(headers={}, request=None))


def test_saved_model_is_the_model(tmp_path, model):
    """config.json, weights and a card; what is loaded again is equal to the bit."""
    model.save_pretrained(tmp_path / "mine")
    names = {path.name for path in (tmp_path / "mine").iterdir()}
    assert names == {"config.json", "model.safetensors", "README.md"}
    again = GMSDI.from_pretrained(tmp_path / "mine")
    assert again.model.config == model.model.config
    assert again.name == "mine"
    jax.tree.map(assert_array_equal, again.params, model.params)


def test_card_names_library_and_paper(tmp_path, model):
    """The hub finds the model by its library; a card that exists is kept."""
    model.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "library_name: gmsdi_jax" in card
    assert "2403.11706" in card
    (tmp_path / "README.md").write_text("mine")
    model.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_id_is_downloaded_and_read(tmp_path, model, offline):
    """owner/name is fetched with the options given, and only the files that make a model."""
    model.save_pretrained(tmp_path / "snapshot")
    asked = offline(tmp_path / "snapshot")
    found = GMSDI.from_pretrained("someone/their-model", revision="v1")
    ((name, options),) = asked
    assert name == "someone/their-model"
    assert options["revision"] == "v1"
    assert "*.safetensors" in options["allow_patterns"]
    assert found.name == "their-model"
    assert found.digest


def test_folder_goes_before_the_hub(tmp_path, model, offline, monkeypatch):
    """A folder that looks like an id is the folder."""
    asked = offline(LocalEntryNotFoundError("no"))
    monkeypatch.chdir(tmp_path)
    model.save_pretrained(Path("models/mine"))
    assert GMSDI.from_pretrained("models/mine").name == "mine"
    assert asked == []


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (LocalEntryNotFoundError("no"), "cannot be reached"),
        (ConnectionError("no"), "cannot be reached"),
        (refused(RepositoryNotFoundError), "has no such model"),
    ],
    ids=["offline", "broken", "unknown"],
)
def test_what_is_nowhere_is_said_in_one_line(offline, answer, why):
    """Exit code 4; the name and both places where it was looked for."""
    offline(answer)
    with pytest.raises(UnavailableError, match=f"owner/name: no such folder, and .*{why}") as error:
        GMSDI.from_pretrained("owner/name")
    assert error.value.exit_code == 4
    assert "\n" not in str(error.value)


def test_path_that_is_no_id_never_reaches_the_hub(offline):
    """./a/b/c and /a/b can only be folders."""
    asked = offline(LocalEntryNotFoundError("no"))
    for path in ("./somewhere/deep/model", "/no/such", "model"):
        with pytest.raises(UnavailableError, match="no such folder; a model is a folder, or"):
            GMSDI.from_pretrained(path)
    assert asked == []


def test_push_uploads_the_same_folder(tmp_path, model, monkeypatch):
    """push_to_hub sends what save_pretrained writes."""
    sent = {}

    class Api:
        def __init__(self, token=None): ...

        def create_repo(self, repo_id, **options):
            return type("Url", (), {"repo_id": repo_id})

        def upload_folder(self, *, repo_id, folder_path, **options):
            folder = Path(folder_path)
            sent[repo_id] = {path.name: path.read_bytes() for path in folder.iterdir()}
            return "url"

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    model.push_to_hub("someone/model")
    files = sent["someone/model"]
    assert {"config.json", "model.safetensors"} <= set(files)
    assert json.loads(files["config.json"])["format"] == 2
    assert np.frombuffer(files["model.safetensors"][:8], "<u8")[0] > 0
