import json

import numpy as np
import pytest

from gmsdi_jax.data import Settings, ShardWriter, cut, open_split
from gmsdi_jax.errors import ConfigError, InputError, OutputError, UnavailableError

LABELS = ("Bass", "Drums", "Guitar", "Piano")
LENGTHS = (5000, 4096, 9001, 300)


def settings(**changes):
    return Settings(**{"labels": LABELS, "chunk": 4096, "hop": 256, "stems": True, **changes})


def sources(number, length):
    rng = np.random.default_rng(number)
    return 0.1 * rng.uniform(-1, 1, (4, length)).astype(np.float32)


def write(folder, made=None, records_per_shard=2, **finish):
    made = made or settings()
    with ShardWriter(folder, made, records_per_shard) as writer:
        for number, length in enumerate(LENGTHS):
            stems = sources(number, length)
            writer.write_track(
                cut(f"Track{number}", stems, made.chunk, made.hop, with_stems=made.stems),
                gain=1 - number / 10,
            )
        return writer.finish(**finish)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "validation")
    return tmp_path / "validation"


def test_names_counts_and_manifest(folder):
    names = sorted(path.name for path in folder.iterdir())
    shards = [f"shard-{i:05d}-of-00003.array_record" for i in range(3)]
    assert names == ["levels.npy", "manifest.json", *shards]
    manifest = open_split(folder, verify=True).manifest
    assert [shard.records for shard in manifest.shards] == [2, 4, 1]
    assert manifest.records == 7
    assert [track.first for track in manifest.tracks] == [0, 2, 3, 6]
    assert [track.gain for track in manifest.tracks] == [1, 0.9, 0.8, 0.7]
    everything = np.concatenate([sources(n, t).sum(0) for n, t in enumerate(LENGTHS)])
    np.testing.assert_allclose(manifest.sigma_data, np.sqrt(np.mean(everything**2)), rtol=1e-4)


def test_manifest_holds_no_path(folder, tmp_path):
    assert str(tmp_path) not in (folder / "manifest.json").read_text()


def test_records_are_found_across_shards(folder):
    split = open_split(folder)
    found = [(split[i].track, split[i].index) for i in range(len(split))]
    assert found == [(f"Track{n}", i) for n, c in enumerate([2, 1, 3, 1]) for i in range(c)]
    np.testing.assert_array_equal(np.stack([split[i].levels for i in range(7)]), split.levels)
    with pytest.raises(IndexError):
        split[7]


def test_tracks_come_back_whole(folder):
    tracks = list(open_split(folder).tracks())
    assert [track.name for track in tracks] == [f"Track{n}" for n in range(4)]
    for number, (track, length) in enumerate(zip(tracks, LENGTHS, strict=True)):
        stems = sources(number, length)
        assert track.mixture.shape == (length, 1)
        assert track.stems.shape == (4, length, 1)
        assert track.levels.shape == (4, -(-length // 256))
        np.testing.assert_allclose(track.stems[..., 0], stems, atol=0.51 / 32768)
        np.testing.assert_allclose(track.mixture[:, 0], stems.sum(0), atol=0.51 / 32768)


def test_training_shards_hold_no_stems(tmp_path):
    write(tmp_path / "train", settings(stems=False))
    split = open_split(tmp_path / "train")
    assert all(split[i].stems is None for i in range(len(split)))
    assert all(track.stems is None for track in split.tracks())
    bytes_on_disk = sum(shard.stat().st_size for shard in (tmp_path / "train").glob("shard*"))
    write(tmp_path / "test")
    assert bytes_on_disk < sum(s.stat().st_size for s in (tmp_path / "test").glob("shard*"))


def test_unprepared_split_says_what_to_run(tmp_path):
    with pytest.raises(UnavailableError, match=r"manifest\.json is missing.*gmsdi data slakh SRC"):
        open_split(tmp_path)


def test_missing_shard_is_noticed(folder):
    (folder / "shard-00001-of-00003.array_record").unlink()
    with pytest.raises(UnavailableError, match=r"shard-00001-of-00003.*is missing"):
        open_split(folder)


@pytest.mark.parametrize("kept", [0, 1000, -1])
def test_truncated_shard_is_noticed(folder, kept):
    path = folder / "shard-00001-of-00003.array_record"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"shard-00001.*damaged"):
        open_split(folder)


def test_shards_swapped_with_another_count_are_noticed(folder):
    path = folder / "shard-00002-of-00003.array_record"
    path.write_bytes((folder / "shard-00000-of-00003.array_record").read_bytes())
    with pytest.raises(InputError, match=r"shard-00002.*damaged .2 of 1 records"):
        open_split(folder)


def test_flipped_bit_is_noticed_by_the_checksum_and_on_reading(folder):
    path = folder / "shard-00000-of-00003.array_record"
    data = bytearray(path.read_bytes())
    sample = open_split(folder)[0].mixture[:64].tobytes()
    data[bytes(data).index(sample) + 5] ^= 1
    path.write_bytes(bytes(data))
    split = open_split(folder)
    with pytest.raises(InputError, match=r"shard-00000.*damaged at record 0"):
        split[0]
    assert split[2].track == "Track1"
    with pytest.raises(InputError, match=r"shard-00000.*checksum"):
        open_split(folder, verify=True)


def test_damaged_levels_are_noticed(folder):
    np.save(folder / "levels.npy", np.zeros((7, 4, 15), np.float32))
    with pytest.raises(InputError, match=r"levels\.npy has shape"):
        open_split(folder)
    (folder / "levels.npy").write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"levels\.npy is damaged"):
        open_split(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 0}', '{"format": 1, "settings": {}}'])
def test_damaged_manifest_is_an_input_error(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json"):
        open_split(folder)


def test_unfinished_split_is_not_a_split_and_is_swept_away(tmp_path):
    folder = tmp_path / "train"

    def interrupted():
        with ShardWriter(folder, settings()) as writer:
            writer.write_track(cut("a", sources(0, 5000), 4096, 256, with_stems=True))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(folder.iterdir()) == []
    (folder / ".shard-00009.tmp").write_bytes(b"")  # as a killed run leaves it
    (folder / "shard-00000-of-00009.array_record").write_bytes(b"")
    write(folder)
    assert len(list(folder.iterdir())) == 5
    open_split(folder, verify=True)


def test_finished_split_is_never_overwritten(folder):
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(OutputError, match="complete split"):
        write(folder)
    assert (folder / "manifest.json").read_bytes() == before
    open_split(folder, verify=True)


def test_empty_split_is_refused(tmp_path):
    with pytest.raises(InputError), ShardWriter(tmp_path / "train", settings()) as writer:
        writer.finish()


def test_damaged_tracks_are_on_record(tmp_path):
    write(tmp_path / "test", damaged={"Track9": "flac is truncated"})
    manifest = open_split(tmp_path / "test").manifest
    assert manifest.damaged == {"Track9": "flac is truncated"}
    assert json.loads((tmp_path / "test/manifest.json").read_text())["settings"]["hop"] == 256


@pytest.mark.parametrize("change", [{"chunk": 1000}, {"hop": 0}, {"labels": ()}, {"gate": -1.0}])
def test_impossible_settings_are_refused(change):
    with pytest.raises(ConfigError):
        settings(**change)
