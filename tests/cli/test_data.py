"""``gmsdi data`` and ``gmsdi evaluate``: from Slakh's folders to a scorecard."""

import numpy as np
import pytest
import soundfile

RATE = 22050


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """One short track per split in MSDM's layout, and where its shards go."""
    root = tmp_path_factory.mktemp("slakh")
    time = np.arange(9 * RATE) / RATE
    for split in ("train", "validation", "test"):
        folder = root / "source" / split / "Track00001"
        folder.mkdir(parents=True)
        for number, name in enumerate(("bass", "drums", "guitar", "piano")):
            tone = 0.1 * np.sin(2 * np.pi * 100 * 3**number * time)
            soundfile.write(folder / f"{name}.wav", tone, RATE)
    return root


def test_from_slakh_to_a_scorecard(gmsdi, model, shards, tmp_path):
    source, out = shards / "source", tmp_path / "shards"
    ran = gmsdi("data", "slakh", source, out, "--jobs", 1, "--chunk", 2**16)
    assert ran.code == 0
    assert "train: 1 tracks" in ran.out
    ran = gmsdi("data", "inspect", out, "--verify")
    assert ran.code == 0
    assert "test: 1 tracks" in ran.out
    assert "Bass+Drums+Guitar+Piano" in ran.out
    assert "with stems" in ran.out
    assert "checksums" in ran.err
    ran = gmsdi("data", "inspect", out / "train", "--plot", tmp_path / "plots")
    assert (tmp_path / "plots/train.png").stat().st_size > 10_000
    assert gmsdi("data", "inspect", out / "train").out.startswith("train: 1 tracks")

    scores = tmp_path / "scores"
    ran = gmsdi("evaluate", "--data", out / "test", "-m", model, "--songs", 1, "-o", scores)
    assert ran.code == 0
    assert "direct" in ran.out
    assert "silence" in ran.out
    assert (scores / "scorecard.md").read_text() == ran.out
    assert gmsdi("evaluate", "--data", out / "train", "-m", model).code == 4  # no stems

    shard = next((out / "test").glob("*.array_record"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    ran = gmsdi("data", "inspect", out, "--verify")
    assert ran.code == 3
    assert shard.name in ran.err


def test_a_damaged_track_is_named_and_skipped(gmsdi, shards, tmp_path):
    source = shards / "source"
    bad = source / "train/Track00002"
    bad.mkdir()
    (bad / "bass.wav").write_text("no audio")
    ran = gmsdi("data", "slakh", source, tmp_path / "out", "--splits", "train", "--jobs", 1)
    assert ran.code == 3
    assert "skipped Track00002" in ran.err
    assert "train: 1 tracks" in ran.out


def test_missing_data_is_named(gmsdi, model, tmp_path):
    for arguments in (
        ("data", "inspect", tmp_path),
        ("evaluate", "--data", tmp_path, "-m", model),
    ):
        ran = gmsdi(*arguments)
        assert ran.code == 4
        assert "gmsdi data slakh" in ran.err
    assert gmsdi("data", "slakh", tmp_path / "nowhere", tmp_path / "out").code == 3


def test_minislakh_passes_its_settings_on(gmsdi, tmp_path, monkeypatch):
    def build(out, tracks, seed, seconds, soundfont, jobs, on_progress, split, unseen, only):
        assert (tracks, seed, seconds, soundfont, jobs) == (6, 1, 8.0, None, 2)
        assert (split, unseen, only) == ((2.0, 1.0, 1.0), 0.5, ("test",))
        on_progress(6, 6)

    monkeypatch.setattr("gmsdi_jax.cli.data.minislakh.build", build)
    flags = ("--tracks", 6, "--seed", 1, "--seconds", 8, "--jobs", 2, "--split", 2, 1, 1)
    flags = (*flags, "--unseen", 0.5, "--only", "test")
    ran = gmsdi("data", "minislakh", tmp_path, *flags)
    assert (ran.code, ran.out) == (0, f"{tmp_path / 'manifest.json'}\n")
