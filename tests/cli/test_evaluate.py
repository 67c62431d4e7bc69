"""``gmsdi evaluate`` as a user meets it: folders without a model, a split with one, refusals."""

import json

import numpy as np
import pytest
import soundfile

from gmsdi_jax.data import Settings, WholeTrack, write_split

RATE = 22050
LABELS = ("Bass", "Drums", "Guitar", "Piano")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """References, what a demucs would have written, and a prepared split."""
    root, rng = tmp_path_factory.mktemp("evaluate"), np.random.default_rng(0)
    stems = (0.1 * rng.standard_normal((4, 6 * RATE))).astype(np.float32)
    for side, leak in (("refs", 0.0), ("separated/htdemucs", 0.1)):
        folder = root / side / "a song"
        folder.mkdir(parents=True)
        for name, stem in zip(LABELS, stems, strict=True):
            audio = stem + leak * stems.sum(0)
            soundfile.write(folder / f"{name.lower()}.wav", audio, RATE, subtype="FLOAT")
    settings = Settings(LABELS, chunk=2**16, hop=1024, stems=True)
    write_split(root / "test", settings, [WholeTrack(f"T{n}", stems / (n + 1)) for n in range(2)])
    return root


def test_a_folder_as_demucs_writes_it_in_one_command(gmsdi, root, tmp_path):
    """The scorecard on stdout and in the folder, with the rows that no separator made."""
    ran = gmsdi(
        "evaluate", root / "separated/htdemucs", "--references", root / "refs",
        "-o", tmp_path / "run",
    )  # fmt: skip
    assert ran.code == 0
    assert ran.err == ""
    for name in ("htdemucs", "silence", "mixture", "oracle", "msdm pays"):
        assert name in ran.out
    assert (tmp_path / "run/scorecard.md").read_text() == ran.out
    for name in ("scores.csv", "scores.parquet", "tracks.csv", "evaluation.json"):
        assert (tmp_path / "run" / name).stat().st_size > 100
    again = gmsdi(
        "evaluate", root / "separated/htdemucs", "--references", root / "refs",
        "-o", tmp_path / "run",
    )  # fmt: skip
    assert again.out == ran.out
    assert "1 results are there already, 0 to go" in again.err


def test_a_song_that_fails_is_one_line_and_exit_code_3(gmsdi, root, tmp_path):
    (tmp_path / "refs/another").mkdir(parents=True)
    (tmp_path / "refs/a song").symlink_to(root / "refs/a song")
    (tmp_path / "refs/another/bass.wav").write_bytes((root / "refs/a song/bass.wav").read_bytes())
    ran = gmsdi("evaluate", root / "separated/htdemucs", "--references", tmp_path / "refs")
    assert ran.code == 3
    assert "1 song," in ran.out
    assert ran.err.splitlines() == [
        f"gmsdi: error: {root / 'separated/htdemucs'}: no track another, which another folder has",
        "1 of 2 songs failed, the errors are above",
    ]


@pytest.mark.slow  # it compiles; tests/evaluate holds the same with a separator that need not
def test_a_model_goes_on_where_it_was(gmsdi, model, root, tmp_path):
    """A second call computes nothing; with other settings the folder is refused."""
    call = ("evaluate", "--data", root / "test", "-m", model, "-o", tmp_path / "run", "--audio", 1,
            "--seconds", 4.5)  # fmt: skip
    ran = gmsdi(*call, "--methods", "project", "--steps", 2, "--seeds", 2)
    assert ran.code == 0
    assert "project: standard deviation over 2 seeds" in ran.out
    assert (tmp_path / "run/audio/T0/project/Piano.flac").is_file()
    assert not (tmp_path / "run/audio/T1").exists()
    assert json.loads((tmp_path / "run/evaluation.json").read_text())["seeds"] == [0, 1]
    again = gmsdi(*call, "--methods", "project", "--steps", 2, "--seeds", 2)
    assert again.out == ran.out
    assert "4 results are there already, 0 to go" in again.err
    other = gmsdi(*call, "--methods", "project", "--steps", 3, "--seeds", 2)
    assert other.code == 2
    assert "holds results of another evaluation (methods was" in other.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "either --data SPLIT or SEPARATED folders"),
        (["separated"], "together"),
        (["--references", "refs"], "together"),
        (["separated", "--references", "refs", "--data", "test"], "either"),
        (["separated", "--references", "refs", "--steps", "5"], "--steps is for --data"),
        (["separated", "--references", "refs", "--seeds", "2"], "--seeds is for --data"),
        (["separated", "--references", "refs", "--overlap", "0"], "--overlap is for --data"),
        (["separated", "--references", "refs", "--distributed", "auto"], "--distributed is for"),
        (["--data", "test", "-s", "Bass"], "--stem is for SEPARATED"),
        (["--data", "test", "--audio", "2"], "with a folder -o"),
        (["--data", "test", "--songs", "0"], "at least 1"),
        (["--data", "test", "--seconds", "0"], "more than 0"),
        (["--data", "test", "--overlap", "1"], "less than 1"),
        (["--data", "test", "--seeds", "0"], "at least 1"),
        (["a", "--references", "b", "--sample-rate", "44"], "it is in Hz"),
    ],
)  # fmt: skip
def test_what_does_not_belong_together_is_refused(gmsdi, model, root, monkeypatch, arguments, said):
    monkeypatch.chdir(root)
    named = [] if "--references" in arguments or "--data" not in arguments else ["-m", model]
    ran = gmsdi("evaluate", *arguments, *named)
    assert ran.code == 2
    assert said in ran.err.splitlines()[-1]
    assert ran.out == ""


def test_a_folder_that_is_not_there(gmsdi, root):
    ran = gmsdi("evaluate", root / "nowhere", "--references", root / "refs")
    assert ran.code == 4
    assert "nowhere is no folder" in ran.err
    ran = gmsdi("evaluate", root / "separated", "--references", root / "refs")
    assert ran.code == 4
    assert "did you mean" in ran.err
