import dataclasses
import json
import os
import resource

import numpy as np
import pytest

from gmsdi_jax.data import (
    DamagedRecordError,
    Place,
    Settings,
    ShardWriter,
    WholeTrack,
    finish_split,
    open_split,
    read_report,
    write_split,
)
from gmsdi_jax.errors import ConfigError, InputError, OutputError, UnavailableError

LABELS = ("Bass", "Drums", "Guitar", "Piano")
LENGTHS = (5000, 4096, 9001, 300)


def settings(**changes):
    return Settings(**{"labels": LABELS, "chunk": 4096, "hop": 256, "stems": True, **changes})


def sources(number, length):
    rng = np.random.default_rng(number)
    return 0.1 * rng.uniform(-1, 1, (4, length)).astype(np.float32)


def write(folder, made=None):
    tracks = [WholeTrack(f"Track{n}", sources(n, length)) for n, length in enumerate(LENGTHS)]
    return write_split(folder, made or settings(), tracks, tracks_per_shard=2)


def write_shard(folder, number, total, plan="", tracks=1, damaged=()):
    with ShardWriter(folder, Place(number, total), settings(), plan) as shard:
        for track in range(tracks):
            shard.write(f"Track{number}{track}", sources(number, 5000))
        for name in damaged:
            shard.skip(name, "flac is truncated")
        return shard.finish()


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "validation")
    return tmp_path / "validation"


def test_names_counts_and_manifest(folder):
    names = sorted(path.name for path in folder.iterdir())
    shards = [f"shard-{i:05d}-of-00002.array_record" for i in range(2)]
    assert names == ["levels.npy", "manifest.json", *shards]
    manifest = open_split(folder, verify=True).manifest
    assert [shard.records for shard in manifest.shards] == [3, 4]
    assert manifest.records == 7
    assert [track.first for track in manifest.tracks] == [0, 2, 3, 6]
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
    with pytest.raises(UnavailableError, match=r"manifest\.json is missing.*gmsdi data"):
        open_split(tmp_path)


def test_missing_shard_is_noticed(folder):
    (folder / "shard-00001-of-00002.array_record").unlink()
    with pytest.raises(UnavailableError, match=r"shard-00001-of-00002.*is missing"):
        open_split(folder)


@pytest.mark.parametrize("kept", [0, 1000, -1])
def test_truncated_shard_is_noticed(folder, kept):
    path = folder / "shard-00001-of-00002.array_record"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"shard-00001.*damaged"):
        open_split(folder)


def test_shards_swapped_with_another_count_are_noticed(folder):
    path = folder / "shard-00001-of-00002.array_record"
    path.write_bytes((folder / "shard-00000-of-00002.array_record").read_bytes())
    with pytest.raises(InputError, match=r"shard-00001.*damaged .3 of 4 records"):
        open_split(folder)


def test_flipped_bit_is_noticed_by_the_checksum_and_on_reading(folder):
    path = folder / "shard-00000-of-00002.array_record"
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
    with pytest.raises(InputError, match=r"levels\.npy holds float32 \(7, 4, 15\)"):
        open_split(folder)
    (folder / "levels.npy").write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"levels\.npy is damaged"):
        open_split(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 0}', '{"format": 1, "settings": {}}'])
def test_damaged_manifest_is_an_input_error(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json"):
        open_split(folder)


def test_unfinished_shard_leaves_nothing(tmp_path):
    def interrupted():
        with ShardWriter(tmp_path, Place(0, 1), settings()) as writer:
            writer.write("a", sources(0, 5000))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_shard_counts_as_done_while_its_plan_and_its_files_are_the_same(tmp_path):
    report = write_shard(tmp_path, 0, 2, plan="these tracks")
    assert read_report(tmp_path, Place(0, 2), "these tracks") == report
    assert read_report(tmp_path, Place(0, 2), "other tracks") is None
    assert read_report(tmp_path, Place(1, 2), "these tracks") is None
    for name in (report.levels.file, report.shard.file):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[:-1] + b"?")
        assert read_report(tmp_path, Place(0, 2), "these tracks") is None
        (tmp_path / name).write_bytes(whole)
    assert read_report(tmp_path, Place(0, 2), "these tracks") == report
    (tmp_path / ".report-00000-of-00002.json").write_text('{"shard": {')
    assert read_report(tmp_path, Place(0, 2), "these tracks") is None


def test_a_split_is_the_same_bytes_in_whatever_order_its_shards_were_written(tmp_path):
    for folder, order in (("a/train", [0, 1, 2]), ("b/train", [2, 0, 1])):
        reports = {n: write_shard(tmp_path / folder, n, 3, tracks=n + 1) for n in order}
        finish_split(tmp_path / folder, settings(), [reports[n] for n in range(3)])
    names = sorted(path.name for path in (tmp_path / "a/train").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b/train").iterdir())
    assert len(names) == 5
    for name in names:
        one, two = ((tmp_path / folder / "train" / name).read_bytes() for folder in "ab")
        assert one == two, name


def test_leftovers_of_another_plan_are_swept_away(tmp_path):
    folder = tmp_path / "train"
    write_shard(folder, 3, 9)  # as a killed run with smaller shards leaves it
    (folder / ".shard-00004-of-00009.tmp").write_bytes(b"")
    write(folder)
    assert len(list(folder.iterdir())) == 4
    open_split(folder, verify=True)


def test_shards_without_a_readable_track_are_part_of_the_split(tmp_path):
    folder = tmp_path / "train"
    reports = [write_shard(folder, 0, 3, tracks=0, damaged=["Track9"])]
    reports += [write_shard(folder, n, 3) for n in (1, 2)]
    manifest = finish_split(folder, settings(), reports, arrangement="by hand", missing=["Track8"])
    split = open_split(folder, verify=True)
    assert split.manifest == manifest
    assert [shard.records for shard in manifest.shards] == [0, 2, 2]
    assert [track.name for track in split.tracks()] == ["Track10", "Track20"]
    assert manifest.damaged == {"Track9": "flac is truncated"}
    assert (manifest.arrangement, manifest.missing) == ("by hand", ("Track8",))


def test_loud_tracks_are_scaled_as_a_whole_and_the_gain_is_on_record(tmp_path):
    loud = np.full((4, 5000), 0.5, np.float32)
    tracks = [WholeTrack("loud", loud), WholeTrack("quiet", sources(1, 5000))]
    manifest = write_split(tmp_path / "train", settings(), tracks)
    assert [track.gain for track in manifest.tracks] == [pytest.approx(0.999 / 2), 1]
    track = next(open_split(tmp_path / "train").tracks())
    np.testing.assert_allclose(track.mixture, 0.999, atol=1 / 32768)


def test_windows_reach_over_records_but_hold_their_track_alone(folder):
    split = open_split(folder)
    whole = [track.mixture[:, 0] for track in split.tracks()]
    assert split.track_of.tolist() == [0, 0, 1, 2, 2, 2, 3]
    assert split.remaining.tolist() == [5000, 904, 4096, 9001, 4905, 809, 300]
    for record, start, length in [(0, 0, 4096), (0, 4000, 1000), (3, 4095, 2), (3, 100, 8901)]:
        track, offset = (0, 0) if record == 0 else (2, 0)
        got = split.window(record, start, length) / 32768
        expected = whole[track][offset + start : offset + start + length]
        np.testing.assert_allclose(got, expected, atol=1e-9)
        stems = split.stems(record, start, length) / 32768
        np.testing.assert_allclose(stems.sum(0), expected, atol=2.6 / 32768)


def test_labels_of_windows_that_reach_over_records(tmp_path):
    stems = np.zeros((4, 12288), np.float32)
    stems[1, 4096:] = 0.1  # drums from the second record on
    write_split(tmp_path / "train", settings(), [WholeTrack("a", stems)])
    split = open_split(tmp_path / "train")
    assert not split.heard(0, 0, 16, 0.01)[0].any()
    assert not split.heard(0, 0, 16, 0.01)[1]
    for record, frame, frames in [(0, 8, 16), (0, 0, 32), (0, 15, 33), (1, 0, 16)]:
        present, sounds = split.heard(record, frame, frames, 0.01)
        assert present.tolist() == [False, True, False, False]
        assert sounds
    # Half of the frames at .1 is an rms of .0707.
    assert split.heard(0, 8, 16, 0.0706)[1]
    assert not split.heard(0, 8, 16, 0.0709)[1]


def test_labels_of_tracks_hold_where_anything_sounds(tmp_path):
    made = settings(labels=("rock", "slow", "voice"), stems=False, presence="track")
    sound = np.zeros((1, 8192), np.float32)
    sound[:, :4096] = 0.1
    tracks = [WholeTrack("a", sound, ("voice", "rock")), WholeTrack("b", sound, ())]
    manifest = write_split(tmp_path / "train", made, tracks)
    assert [track.labels for track in manifest.tracks] == [("voice", "rock"), ()]
    split = open_split(tmp_path / "train")
    assert split.levels.shape == (4, 1, 16)
    assert split.heard(0, 0, 16, 0.01)[0].tolist() == [True, False, True]
    assert not split.heard(1, 0, 16, 0.01)[0].any()
    present, sounds = split.heard(2, 0, 16, 0.01)
    assert not present.any()
    assert sounds
    assert not split.heard(3, 0, 16, 0.01)[1]


def test_finished_split_is_never_overwritten(folder):
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(OutputError, match="complete split"):
        write(folder)
    assert (folder / "manifest.json").read_bytes() == before
    open_split(folder, verify=True)


def test_empty_split_is_refused(tmp_path):
    with pytest.raises(InputError, match="train: none of 1 tracks is readable: flac is truncated"):
        finish_split(
            tmp_path / "train",
            settings(),
            [write_shard(tmp_path / "train", 0, 1, tracks=0, damaged=["Track9"])],
        )


def test_manifests_of_format_1_are_read(folder):
    """They knew no labels of tracks, no arrangement, and one way to judge presence."""
    path = folder / "manifest.json"
    fields = json.loads(path.read_text())
    new = open_split(folder).manifest
    for key in ("arrangement", "missing", "version"):
        del fields[key]
    del fields["settings"]["presence"]
    for track in fields["tracks"]:
        del track["labels"]
    path.write_text(json.dumps({**fields, "format": 1}))
    old = open_split(folder, verify=True).manifest
    assert old == dataclasses.replace(new, version="")


@pytest.mark.parametrize(
    "change",
    [
        {"records": 8},
        {"shards": []},
        {"levels": {"file": "../levels.npy", "records": 7, "sha256": ""}},
        {"tracks": [{"name": "a", "first": 0, "length": -5, "gain": 1.0}]},
        {"tracks": 3},
        {"format": 99},
        {"settings": {"labels": ["a", "a"]}},
    ],
)
def test_manifests_that_contradict_themselves_are_refused(folder, change):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=r"manifest\.json is"):
        open_split(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"chunk": 1000},
        {"hop": 0},
        {"labels": ()},
        {"labels": ("a", "a")},
        {"gate": -1.0},
        {"presence": "song"},
        {"presence": "track"},  # with stems
    ],
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(ConfigError):
        settings(**change)


def test_more_files_than_may_be_open_are_no_damage(folder, monkeypatch):
    """1024 is a usual limit, which is raised where that is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 1, hard))
        assert len(open_split(folder)) == 7
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10, 20))
    with pytest.raises(UnavailableError, match=r"more than may be open here: run ulimit -n \d+"):
        open_split(folder)


def test_a_record_in_the_place_of_another_is_damaged(folder):
    """Levels say what can be heard in a record; of another one they are no use."""
    path = folder / "levels.npy"
    levels = np.load(path)
    levels[0, 0, 0] += 1
    np.save(path, levels)
    split = open_split(folder)
    with pytest.raises(DamagedRecordError, match=r"record 0 \(its levels are not those of levels"):
        split[0]
    assert split[1].track
