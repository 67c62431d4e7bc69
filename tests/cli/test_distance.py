"""`gmsdi distance` on pieces as `gmsdi generate` writes them, with random weights."""

import json

import numpy as np
import pytest
from generation.audio import RATE, encoders, piece, pieces, sound, vggish_folder

from gmsdi_jax.audio import Reader
from gmsdi_jax.generation import listeners
from gmsdi_jax.pipeline import Stems


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A VGGish and a CLAP, as flags."""
    made = encoders(tmp_path_factory.mktemp("encoders"))
    return [flag for folder in made for flag in ("--encoder", folder)]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to be in, where embeddings go."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def real(here):
    return pieces(here / "real", range(4), mix="mix")


def test_generated_pieces_against_songs(gmsdi, here, real, folders, monkeypatch):
    """Mix and stems by three listeners; the second call gives the same without audio or weights."""
    for seed in range(2):
        stems = {name.title(): sound(name, 20 + seed)[:, None] for name in ("bass", "drums")}
        folder = here / "generated" / "tiny" / f"{seed}-bass-drums"
        folder.mkdir(parents=True)
        Stems(stems, RATE).save(folder)
    arguments = ("distance", "generated", "--reference", real, "-s", "mix", "-s", "Bass", *folders)
    asked = (*arguments, "--vggish", "gudgud96", "google", "--seconds", 1)
    ran = gmsdi(*asked, "-o", here / "out")
    assert ran.code == 0, ran.err
    values = json.loads((here / "out/distance.json").read_text())
    assert (here / "out/distance.md").read_text() == ran.out
    named = [(row["thing"], row["encoder"]) for row in values["distances"]]
    ears = ["VGGish gudgud96", "VGGish google", "CLAP"]
    assert named == [(thing, ear) for thing in ("mix", "Bass") for ear in ears]
    assert values["distances"][0]["generated"] == {"clips": 4, "embeddings": 4}
    assert values["distances"][0]["reference"] == {"clips": 8, "embeddings": 8}
    numbers = [row[kind][n] for row in values["distances"] for kind in ("value", "floor")
               for n in ("fad", "kad")]  # fmt: skip
    assert np.isfinite(np.array(numbers, float)).all()
    assert [row["words"] for row in values["scores"]] == ["Bass", "Bass"]
    assert [row["clips"] for row in values["sounds"]] == [4, 8, 4, 8]

    def forbidden(*_):
        raise AssertionError("audio or weights were read")

    for place, name in ((Reader, "take"), (listeners, "load_encoder"), (listeners, "ClapEncoder")):
        monkeypatch.setattr(place, name, forbidden)
    again = gmsdi(*asked, "--json", "-q")
    assert (again.code, again.err) == (0, "")
    assert json.loads(again.out) == values


@pytest.mark.slow
def test_what_generate_and_accompany_write(gmsdi, model, here, real, folders):
    """The folders of both commands are read as they are; no stem of them is taken for a piece."""
    short = ("-m", model, "--steps", 2, "--seconds", 2, "-o", "made", "-q")
    for seed in range(2):
        assert gmsdi("generate", "-s", "Bass", "-s", "Drums", "--seed", seed, *short).code == 0
    given = f"Drums={real / 'song0' / 'drums.wav'}"
    assert gmsdi("accompany", "--known", given, "-s", "Bass", *short).code == 0
    ran = gmsdi("distance", "made", "-r", real, *folders, "--seconds", 1, "--json", "-q")
    (row, _) = json.loads(ran.out)["distances"]
    assert row["generated"] == {"clips": 6, "embeddings": 6}


def test_real_songs_are_nearer_than_others(gmsdi, here, real, folders):
    """The same songs: 0. Others of the kind: near. Drums alone: far, by both distances."""
    sides = {
        "same": real,
        "alike": pieces(here / "alike", range(10, 14), mix="mix"),
        "drums": pieces(here / "drums", range(4), stems=("drums",), mix="mix"),
    }
    found = {}
    for name, folder in sides.items():
        arguments = (folder, "-r", real, "-s", "mix", "--seconds", 1, *folders[:2], "--json", "-q")
        (row,) = json.loads(gmsdi("distance", *arguments).out)["distances"]
        found[name] = row["value"]["fad"], row["value"]["kad"]
    for number in (0, 1):
        assert found["same"][number] <= found["alike"][number] < found["drums"][number] / 2
    assert found["same"][0] < 1e-6


def test_encoders_that_lie_here(gmsdi, here, real):
    """Without a flag, encoders/vggish is used; the floor of pieces that are named stands below."""
    vggish_folder(here / "encoders" / "vggish")
    ran = gmsdi("distance", real, "-r", real, "-s", "mix", "--seconds", "None", "--cache", "kept")
    assert ran.code == 0
    assert "| mix, real : real | VGGish gudgud96 |" in ran.out
    assert any((here / "kept").rglob("*.npy"))


def test_without_an_encoder(gmsdi, here, real):
    """Sound is measured all the same; one line says how to get weights, and the code is 4."""
    ran = gmsdi("distance", real, "-r", real)
    assert ran.code == 4
    assert ran.out.startswith("| Sound ")
    assert ran.err.count("\n") == 1
    for word in ("vggish-10086976.pth", "gmsdi convert", "encoders/clap"):
        assert word in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["real", "-r", "real", "--encoder", "gone"], 4, "gone: no encoder here: get vggish"),
        (["gone", "-r", "real"], 3, "gone: no such folder"),
        (["real", "-r", "real", "-s", "Guitar"], 3, "real: no audio called Guitar"),
        (["real", "-r", "real", "-s", "mix", "-s", "mix"], 2, "name each thing once"),
        (["real", "-r", "real", "--clips", "1"], 2, "clips is 1"),
        (["real", "-r", "real", "--given", "real"], 2, "add -s mix"),
        (["real", "-r", "real", "--cache", "real/song0/mix.wav"], 74, "choose another --cache"),
        (["real", "-r", "real", "-o", "real/song0/mix.wav"], 74, "cannot be written"),
        (["real"], 2, "reference"),
    ],
)
def test_what_is_refused(gmsdi, here, real, arguments, code, says):
    ran = gmsdi("distance", *arguments)
    assert ran.code == code
    assert says in ran.err


def test_a_damaged_song_is_named(gmsdi, here, real):
    path = piece(real / "song9", 9) / "bass.wav"
    path.write_bytes(path.read_bytes()[:1000])
    ran = gmsdi("distance", real, "-r", real, "-q")
    assert (ran.code, ran.out, ran.err.count("\n")) == (3, "", 1)
    assert "song9/bass.wav" in ran.err
