"""A store, a split of tones, and a separator that is nearly right by design."""

import pytest
from evaluate.tones import FakeModel, write_songs

from gmsdi_jax.sweep.jobs import Sources


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    for name in ("test", "validation"):
        write_songs(folder / name)
    return folder


@pytest.fixture
def sources(shards, tmp_path):
    """A function that opens the store anew, as another process would."""
    (tmp_path / "model").mkdir()

    def opened():
        found = Sources(tmp_path / "store", shards, tmp_path / "model")
        found.fake = FakeModel(leak=0.1)  # type: ignore[attr-defined]
        found.model = lambda name: found.fake  # type: ignore[assignment,attr-defined]
        found.__dict__["own_folder"] = tmp_path / "model"
        return found

    return opened
