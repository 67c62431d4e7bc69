"""MTG-Jamendo from tars and folders: the tables, the splits, and what is missing or damaged."""

import pickle
import shutil
import tarfile

import numpy as np
import pytest
from layouts import jamendo
from layouts.archives import entry, tar
from layouts.jamendo import TRACKS, Track

from data_pipelines.jamendo import find_audio, plans
from data_pipelines.jamendo_lists import read_table
from data_pipelines.prepare import Cut, prepare
from data_pipelines.tars import Member
from gmsdi_jax.errors import ConfigError, InputError, UnavailableError

BY_NAME = {track.name: track for track in TRACKS}
TAGS = tuple(sorted({tag for track in TRACKS for tag in track.tags}))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return jamendo.dataset(tmp_path_factory.mktemp("jamendo"))


@pytest.fixture
def own(published, tmp_path):
    """A copy to damage: the audio and the tables."""
    for name, folder in zip(("audio", "data"), published, strict=True):
        shutil.copytree(folder, tmp_path / name, symlinks=True)
    return tmp_path / "audio", tmp_path / "data"


def names(made):
    return {split: [source.name for source in plan.sources] for split, plan in made.items()}


def failures(made):
    """Why sources cannot be read, by name; each in one line."""
    found = {}
    for plan in made.values():
        for source in plan.sources:
            try:
                source.read(22050)
            except InputError as error:
                found[source.name] = str(error)
    assert not any("\n" in reason for reason in found.values())
    return found


def test_split_of_the_paper(published):
    audio, tables = published
    made = plans(audio, metadata=tables)
    assert names(made) == {
        "train": ["00/100", "00/1300", "00/200", "01/101", "01/201", "97/97"],
        "validation": ["98/198", "99/199"],
    }
    for split, plan in made.items():
        assert (plan.split, plan.labels, plan.presence, plan.missing) == (split, TAGS, "track", ())
        assert "parts 00-97 train and 98-99 validation" in plan.arrangement
        assert "parts 00-01, 97-99 of 00-99 are there" in plan.arrangement


def test_official_lists(published):
    audio, tables = published
    made = plans(audio, metadata=tables, split="split-0")
    assert names(made) == {
        "train": ["00/100", "00/1300", "01/101", "97/97", "98/198", "99/199"],
        "validation": ["00/200"],
        "test": ["01/201"],
    }
    artists = [{BY_NAME[source.name].artist for source in plan.sources} for plan in made.values()]
    assert sum(map(len, artists)) == len(set().union(*artists))
    assert {plan.labels for plan in made.values()} == {TAGS}


def test_every_tag_is_kept_and_the_audio_is_that_of_its_track(published):
    audio, tables = published
    for plan in plans(audio, metadata=tables).values():
        for source in plan.sources:
            track = BY_NAME[source.name]
            # The clean table lacks the last track: it has no labels, but audio.
            assert source.labels == (track.tags if track != TRACKS[-1] else ())
            stems = pickle.loads(pickle.dumps(source)).read(22050).stems
            assert stems.shape == (1, round(track.seconds * 22050))
            spectrum = np.abs(np.fft.rfft(stems[0]))
            found = np.argmax(spectrum) / track.seconds
            assert found == pytest.approx(track.frequency, abs=1)


@pytest.mark.parametrize("low", [True, False])
def test_folders_are_the_same_data_as_tars(published, tmp_path, low):
    audio, tables = published
    folders = jamendo.folders(tmp_path, low=low)
    made, expected = plans(folders, metadata=tables), plans(audio, metadata=tables)
    assert names(made) == names(expected)
    a, b = (p["train"].sources[0].read(22050).stems for p in (made, expected))
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_mix_takes_folders_first_and_low_quality_before_full(own):
    audio, tables = own
    (audio / "raw_30s_audio-low-01.tar").unlink()
    jamendo.folders(audio, [t for t in TRACKS if t.part == "01"], low=False)
    (audio / "01" / "101.low.mp3").write_bytes(BY_NAME["01/101"].mp3())
    jamendo.folders(audio, TRACKS[:1])  # 00/100, which is in a tar too
    files = find_audio(audio).files
    assert files["01/101"] == audio / "01" / "101.low.mp3"
    assert files["01/201"] == audio / "01" / "201.mp3"
    assert files["00/100"] == audio / "00" / "100.low.mp3"
    assert isinstance(files["00/200"], Member)
    assert sorted(files) == sorted(BY_NAME)
    assert not failures(plans(audio, metadata=tables))


def test_tables_beside_the_audio_are_found(own):
    audio, tables = own
    tables.rename(audio / "data")
    assert names(plans(audio)) == names(plans(audio, metadata=audio / "data"))


def test_missing_means_of_the_parts_that_are_there(own):
    audio, tables = own
    for part in ("97", "98", "99"):
        (audio / f"raw_30s_audio-low-{part}.tar").unlink()
    keep = [t for t in TRACKS if t.part == "00"][1:]
    tar(audio / "raw_30s_audio-low-00.tar", [(f"{t.name}.low.mp3", t.mp3()) for t in keep])
    made = plans(audio, metadata=tables)
    assert list(made) == ["train"]
    assert made["train"].missing == ("00/100",)
    assert len(made["train"].sources) == 4
    assert "parts 00-01 of 00-99 are there" in made["train"].arrangement
    assert plans(audio, metadata=tables, split="split-0")["train"].missing == ("00/100",)


def test_files_that_no_list_names_are_counted(own):
    audio, tables = own
    jamendo.folders(audio, [Track(5001, 9, ())])
    (audio / "01" / "cover.jpg").write_bytes(b"")
    (audio / "01" / "5002.mp3").write_bytes(b"")  # in the wrong folder
    made = plans(audio, metadata=tables)
    assert "3 files that no list names left out" in made["train"].arrangement
    assert {name for split in names(made).values() for name in split} == set(BY_NAME)


@pytest.mark.parametrize("arrangement", ["paper", "split-0"])
def test_damage_is_a_track_that_fails_when_it_is_read(own, arrangement):
    audio, tables = own
    part = [t for t in TRACKS if t.part == "00"]
    bad = part[0].mp3()
    tar(
        audio / "raw_30s_audio-low-00.tar",
        [
            entry("00"),
            ("00/100.low.mp3", bad[: len(bad) // 2]),
            entry("00/200.low.mp3", tarfile.SYMTYPE, "../../secret"),
            ("../evil.mp3", b"evil"),
            (f"{part[2].name}.low.mp3", part[2].mp3()),
        ],
    )
    cut = audio / "raw_30s_audio-low-01.tar"
    size = next(m for m in find_audio(audio).files.values() if str(m).endswith("201.low.mp3"))
    cut.write_bytes(cut.read_bytes()[: size.offset + 1000])
    (audio / "raw_30s_audio-low-02.tar").write_bytes(b"")
    made = plans(audio, metadata=tables, split=arrangement)
    found = failures(made)
    tars = {part: audio / f"raw_30s_audio-low-{part}.tar" for part in ("00", "01", "02")}
    assert sorted(found) == [
        "00/100",
        "00/200",
        "01/201",
        "raw_30s_audio-low-00.tar: ../evil.mp3",
        "raw_30s_audio-low-01.tar",
        "raw_30s_audio-low-02.tar",
    ]
    assert f"{tars['00']}: 00/100.low.mp3 is" in found["00/100"]
    assert "is a link" in found["00/200"]
    assert "cut short" in found["01/201"]
    assert "points out of the tar" in found["raw_30s_audio-low-00.tar: ../evil.mp3"]
    assert f"{tars['01']} is damaged or cut short" in found["raw_30s_audio-low-01.tar"]
    assert f"{tars['02']} is damaged" in found["raw_30s_audio-low-02.tar"]
    everything = [name for split in names(made).values() for name in split]
    assert sorted(set(everything)) == sorted(everything)
    assert set(BY_NAME) <= set(everything)
    assert not list(audio.parent.rglob("evil*"))


def test_broken_links_and_folders_in_place_of_files(own):
    audio, tables = own
    (audio / "raw_30s_audio-low-01.tar").unlink()
    (audio / "01").mkdir()
    (audio / "01" / "101.low.mp3").symlink_to("nowhere")
    (audio / "01" / "201.low.mp3").mkdir()
    found = failures(plans(audio, metadata=tables))
    assert "does not exist" in found["01/101"]
    assert "is a folder" in found["01/201"]


GOOD = TRACKS[0].row(TRACKS[0].tags)


def changed(column, text):
    return [*GOOD[:column], text, *GOOD[column + 1 :]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (GOOD[:5], "5 columns, at least 6"),
        ([""], "0 columns"),
        (changed(0, "0000100"), "TRACK_ID"),
        (changed(1, "album_1"), "ARTIST_ID"),
        (changed(3, "../100.mp3"), "PATH"),
        (changed(3, "01/100.mp3"), "PATH"),
        (changed(3, "00/200.mp3"), "PATH"),
        (changed(4, "nan"), "DURATION"),
        (changed(4, "-3.0"), "DURATION"),
        (changed(4, "0.0"), "DURATION"),
        (changed(5, "rock"), "tag 'rock'"),
        (changed(5, ""), "tag ''"),
        (changed(6, "place---here"), "tag 'place---here'"),
        (changed(6, '"genre---a'), "unexpected end of data"),
        (changed(6, "x" * 200_000), "field larger than field limit"),
        (GOOD, "00/100 is there twice"),
    ],
)
def test_a_malformed_row_is_named_by_file_and_line(tmp_path, row, message):
    path = jamendo.table(tmp_path / "raw_30s.tsv", [GOOD, row])
    with pytest.raises(InputError) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"{path} line 3: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "line 1: its columns are not TRACK_ID"),
        (lambda data: data.replace(b"DURATION", b"LENGTH"), "line 1: its columns are not"),
        (lambda data: data.replace(b"DURATION\t", b""), "line 1: its columns are not"),
        (lambda data: data.split(b"\n", 1)[1], "line 1: its columns are not"),
        (lambda data: data[:-9], "cut short"),
        (lambda data: data[: data.index(b"\n") + 1], "lists no tracks"),
        (lambda data: data.replace(b"rock", b"\xff\xfe"), "not text in UTF-8"),
        (lambda data: data[:300] + bytes(30) + data[330:], "line "),
        (lambda data: b"raw_30s_cleantags_50artists.tsv", "line 1: its columns are not"),
    ],
)
def test_a_damaged_table_is_one_line(published, tmp_path, damage, message):
    path = tmp_path / "raw_30s.tsv"
    path.write_bytes(damage((published[1] / "raw_30s.tsv").read_bytes()))
    with pytest.raises(InputError) as caught:
        read_table(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tables_that_editors_have_saved_are_read(published, tmp_path):
    data = (published[1] / "raw_30s.tsv").read_bytes()
    path = tmp_path / "raw_30s.tsv"
    path.write_bytes(b"\xef\xbb\xbf" + data.replace(b"\r\n", b"\n"))
    assert read_table(path) == read_table(published[1] / "raw_30s.tsv")


def test_one_table_alone_says_both(own):
    audio, tables = own
    (tables / "raw_30s.tsv").unlink()
    made = plans(audio, metadata=tables)
    assert "1 files that no list names" in made["train"].arrangement
    assert names(made)["validation"] == ["98/198"]
    jamendo.metadata(tables.parent / "new")
    for name in ("autotagging.tsv", "raw_30s_cleantags_50artists.tsv"):
        (tables.parent / "new" / name).unlink()
    made = plans(audio, metadata=tables.parent / "new")
    assert jamendo.RAW_ONLY in made["train"].labels
    assert "tags of raw_30s.tsv" in made["train"].arrangement


def test_what_is_not_there_says_what_to_do(own):
    audio, tables = own
    with pytest.raises(ConfigError, match="take paper, split-0"):
        plans(audio, metadata=tables, split="split-9")
    with pytest.raises(UnavailableError, match=r"has no raw_30s\.tsv: run gmsdi data download"):
        plans(audio)
    with pytest.raises(UnavailableError, match="split-1/autotagging-train"):
        plans(audio, metadata=tables, split="split-1")
    (tables / "splits/split-0/autotagging-test.tsv").unlink()
    with pytest.raises(UnavailableError, match=r"autotagging-test\.tsv is missing"):
        plans(audio, metadata=tables, split="split-0")
    with pytest.raises(InputError, match="is no folder"):
        plans(audio / "none", metadata=tables)
    with pytest.raises(InputError, match=r"holds neither raw_30s_audio-low-NN\.tar"):
        plans(tables, metadata=tables)
    jamendo.folders(audio.parent / "other", [Track(5055, 1, ())])
    with pytest.raises(InputError, match="no track that the lists"):
        plans(audio.parent / "other", metadata=tables)


def test_a_track_in_two_lists_is_refused(own):
    audio, tables = own
    lists = tables / "splits" / "split-0"
    shutil.copy(lists / "autotagging-train.tsv", lists / "autotagging-test.tsv")
    with pytest.raises(InputError, match="00/100 is in train and test"):
        plans(audio, metadata=tables, split="split-0")


def test_plans_become_shards_with_their_damage_and_their_gaps_in_the_manifest(own, tmp_path):
    audio, tables = own
    tar_01 = audio / "raw_30s_audio-low-01.tar"
    tar_01.write_bytes(tar_01.read_bytes()[:2500])  # inside the first of two tracks
    made = plans(audio, metadata=tables)
    manifest = prepare(made, tmp_path / "out", Cut(chunk=2**14), jobs=1)["train"]
    assert [track.name for track in manifest.tracks] == ["00/100", "00/1300", "00/200", "97/97"]
    assert sorted(manifest.damaged) == ["01/101", "raw_30s_audio-low-01.tar"]
    assert manifest.missing == ("01/201",)
    assert manifest.arrangement == made["train"].arrangement
    assert "genre---rock+instrument---piano" in manifest.label_sets
