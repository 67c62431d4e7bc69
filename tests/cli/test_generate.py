"""``gmsdi generate`` and ``gmsdi accompany``: what they write, and that a seed is a promise."""

import json

import numpy as np
import pytest
import soundfile

RATE = 22050
SHORT = ("--steps", 4, "--gamma", 2, "--seconds", 0.5)


def read(folder, name):
    audio, rate = soundfile.read(folder / f"{name}.wav", always_2d=True)
    assert (audio.shape, rate) == ((round(0.5 * RATE), 1), RATE)
    return audio


def test_generate_writes_stems_and_their_mix(gmsdi, model, tmp_path):
    arguments = ("generate", "-s", "Bass", "-s", "Drums", "-m", model, "-o", tmp_path, *SHORT)
    ran = gmsdi(*arguments)
    folder = tmp_path / "tiny/0-bass-drums"
    assert (ran.code, ran.out) == (0, f"{folder}\n")
    assert {path.name for path in folder.iterdir()} == {
        "bass.wav",
        "drums.wav",
        "mix.wav",
        "gmsdi.json",
    }
    stems = [read(folder, "bass"), read(folder, "drums")]
    np.testing.assert_allclose(read(folder, "mix"), sum(stems), atol=1e-6)
    again = gmsdi(*arguments, "--json")
    info = json.loads(again.out)
    assert info["folder"] == str(folder.with_name("0-bass-drums-2"))
    assert info["settings"]["steps"] == 4
    np.testing.assert_array_equal(read(folder.with_name("0-bass-drums-2"), "bass"), stems[0])
    other = gmsdi(*arguments, "--seed", 1, "-q")
    assert (other.out, other.err) == (f"{tmp_path / 'tiny/1-bass-drums'}\n", "")
    assert np.abs(read(tmp_path / "tiny/1-bass-drums", "bass") - stems[0]).max() > 1e-3


@pytest.mark.parametrize("long", ["joined", "continued"])
def test_pieces_longer_than_a_window(gmsdi, model, tmp_path, long):
    """Half a second is a window and a bit; gmsdi.json says how it was drawn."""
    arguments = ("generate", "-s", "Bass", "-m", model, "-o", tmp_path, *SHORT)
    ran = gmsdi(*arguments, "--long", long, "--overlap", 0.25, "--resamples", 2, "--json")
    info = json.loads(ran.out)
    assert np.isfinite(read(tmp_path / "tiny/0-bass", "bass")).all()
    assert info["evaluations_per_stem"] == 2 * 4 * 2
    assert [info["settings"][name] for name in ("long", "overlap")] == [long, 0.25]


def test_accompany_keeps_what_is_given(gmsdi, model, noise, tmp_path):
    given = noise(tmp_path / "beat.wav", 44100, 2, seconds=0.5)
    arguments = ("--known", f"Drums={given}", "-s", "Bass", "-m", model, "-o", tmp_path)
    ran = gmsdi("accompany", *arguments, *SHORT[:4])
    folder = tmp_path / "tiny/0-drums-bass"
    assert (ran.code, ran.out) == (0, f"{folder}\n")
    mono = soundfile.read(given, always_2d=True)[0].mean(1)
    drums = read(folder, "drums")[:, 0]
    assert (
        np.corrcoef(drums, np.interp(np.arange(len(drums)) * 2, np.arange(len(mono)), mono))[0, 1]
        > 0.6
    )  # the same noise, though its upper half is gone
    np.testing.assert_allclose(read(folder, "mix"), read(folder, "bass") + read(folder, "drums"))
    assert json.loads((folder / "gmsdi.json").read_text())["known"] == ["Drums"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["generate"], 2, "-s Bass"),
        (["generate", "-s", "Bass", "-s", "bass"], 2, "once"),
        (["generate", "-s", "Vocals"], 2, "'vocals' is unknown"),
        (["generate", "-s", "Bass", "--steps", "0"], 2, "steps is 0"),
        (["generate", "-s", "Bass", "--seconds", "1201"], 2, "seconds is 1201"),
        (["generate", "-s", "Bass", "-s", "Drums", "--gamma", "0.001"], 2, "gamma"),
        (["accompany", "-s", "Bass"], 2, "--known"),
        (["accompany", "-s", "Bass", "--known", "drums.wav"], 2, "STEM=FILE"),
        (["accompany", "-s", "Bass", "--known", "Drums=missing.wav"], 3, "missing.wav"),
        (["accompany", "--known", "Drums=drums.wav"], 2, "-s Bass"),
        (["accompany", "-s", "Bass", "--known", "Drums=a", "--known", "Drums=b"], 2, "twice"),
    ],
)
def test_a_wrong_wish_is_one_line_and_leaves_nothing(gmsdi, model, tmp_path, arguments, code, says):
    ran = gmsdi(*arguments, "-m", model, "-o", tmp_path / "out", "-q")
    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err
    assert len(ran.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_output_that_cannot_be_written_is_refused_before_drawing(gmsdi, model, tmp_path):
    (tmp_path / "file").touch()
    ran = gmsdi("generate", "-s", "Bass", "-m", model, "-o", tmp_path / "file/out", "-q")
    assert (ran.code, len(ran.err.splitlines())) == (74, 1)
