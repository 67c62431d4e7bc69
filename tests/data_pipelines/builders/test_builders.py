"""The data sets of TensorFlow Datasets hold the records of ``gmsdi data``, without TensorFlow."""

import importlib.util
import subprocess
import sys

import grain
import numpy as np
import pytest
import tensorflow_datasets as tfds
from layouts import jamendo as jamendo_layout
from layouts import slakh as slakh_layout

from data_pipelines import jamendo, slakh
from data_pipelines.builders import JamendoConfig, MiniSlakh, MtgJamendo, Slakh2100, SlakhConfig
from data_pipelines.prepare import Cut, prepare
from gmsdi_jax.data import open_split, presence
from gmsdi_jax.errors import ConfigError, InputError

CUT = Cut(chunk=2**14, hop=512, tracks_per_shard=2)


@pytest.fixture(scope="module")
def redux(tmp_path_factory):
    """Slakh's layout."""
    root = tmp_path_factory.mktemp("slakh") / "redux"
    slakh_layout.redux(root)
    return root


@pytest.fixture(scope="module")
def tars(tmp_path_factory):
    """MTG-Jamendo's tars, with its tables beside them."""
    archives, tables = jamendo_layout.dataset(tmp_path_factory.mktemp("jamendo"))
    for table in tables.iterdir():
        table.rename(archives / table.name)
    return archives


def built(builder_class, source, folder, config, **options):
    """A builder whose data set is prepared."""
    builder = builder_class(data_dir=folder, config=config)
    options = tfds.download.DownloadConfig(manual_dir=source, **options)
    builder.download_and_prepare(download_config=options)
    return builder


def assert_equal_records(source, split):
    """Each record of a data source against ours."""
    assert len(source) == len(split)
    settings = split.manifest.settings
    for number in range(len(split)):
        ours, theirs = split[number], source[number]
        assert theirs["track"].decode() == ours.track
        assert (theirs["index"], theirs["valid"]) == (ours.index, ours.valid)
        assert theirs["mixture"].dtype == np.int16
        np.testing.assert_array_equal(theirs["mixture"], ours.mixture, strict=True)
        np.testing.assert_array_equal(theirs["levels"], ours.levels, strict=True)
        if settings.presence == "window":
            stems = np.zeros((0, settings.chunk), np.int16) if ours.stems is None else ours.stems
            np.testing.assert_array_equal(theirs["stems"], stems, strict=True)
            heard = presence(ours.levels, settings.gate)
            labels = [name for name, on in zip(split.labels, heard, strict=True) if on]
        else:
            assert "stems" not in theirs
            labels = split.manifest.tracks[split.track_of[number]].labels
        assert [name.decode() for name in theirs["labels"]] == list(labels)


@pytest.mark.parametrize(
    ("builder_class", "arrangement", "labels"),
    [
        (Slakh2100, "folders", "levels"),
        (Slakh2100, "redux", "notes"),
        (MiniSlakh, "folders", "levels"),
    ],
)
def test_slakh_records_are_those_of_our_shards(redux, tmp_path, builder_class, arrangement, labels):
    config = SlakhConfig(name="small", arrangement=arrangement, labels=labels, cut=CUT)
    builder = built(builder_class, redux, tmp_path / "tfds", config)
    plans = slakh.plans(redux, arrangement=arrangement, labels=labels, hop=CUT.hop)
    prepare(plans, tmp_path / "ours", CUT, jobs=1)
    for name in slakh.SPLITS:
        split = open_split(tmp_path / "ours" / name)
        assert_equal_records(builder.as_data_source(name), split)
        assert split.manifest.settings.stems == (name != "train")
        # The shards are the same too: as many, with the same numbers of records.
        lengths = [shard.records for shard in split.manifest.shards]
        assert builder.info.splits[name].shard_lengths == lengths


@pytest.mark.parametrize("arrangement", ["paper", "split-0"])
def test_jamendo_records_are_those_of_our_shards(tars, tmp_path, arrangement):
    config = JamendoConfig(name="small", split=arrangement, cut=CUT)
    builder = built(MtgJamendo, tars, tmp_path / "tfds", config)
    plans = jamendo.plans(tars, split=arrangement)
    prepare(plans, tmp_path / "ours", CUT, jobs=1)
    assert set(builder.info.splits) == set(plans)
    for name, plan in plans.items():
        assert_equal_records(builder.as_data_source(name), open_split(tmp_path / "ours" / name))
        assert builder.info.metadata[name]["labels"] == list(plan.labels)
        assert builder.info.metadata[name]["arrangement"] == plan.arrangement


@pytest.fixture(scope="module")
def small(redux, tmp_path_factory):
    """A prepared data set, and its folder."""
    folder = tmp_path_factory.mktemp("tfds")
    config = SlakhConfig(name="small", arrangement="redux", cut=CUT)
    return built(Slakh2100, redux, folder, config), folder


def test_grain_reads_it_in_any_order(small, redux, tmp_path):
    builder, _ = small
    plans = slakh.plans(redux, arrangement="redux", hop=CUT.hop)
    prepare(plans, tmp_path, CUT, jobs=1)
    split = open_split(tmp_path / "train")
    pipeline = (
        grain.MapDataset.source(builder.as_data_source("train"))
        .shuffle(seed=0)
        .map(lambda record: (record["track"].decode(), record["index"], record["mixture"]))
    )
    assert len(pipeline) == len(split)
    ours = {(record.track, record.index): record.mixture for record in split}
    read = list(pipeline.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)))
    assert [key[:2] for key in read] != list(ours)  # shuffled
    for track, index, mixture in read:
        np.testing.assert_array_equal(mixture, ours.pop((track, index)))
    assert not ours
    test = grain.MapDataset.source(builder.as_data_source("test"))
    batch = test.map(lambda record: record["stems"]).batch(2)[0]
    assert batch.shape == (2, 4, CUT.chunk)


def test_a_slice_of_a_split_and_a_folder_without_the_code_are_read(small):
    builder, folder = small
    whole = builder.as_data_source("train")
    assert len(builder.as_data_source("train[:4]")) == 4
    again = tfds.builder_from_directory(folder / "slakh2100/small/1.0.0")
    np.testing.assert_array_equal(
        again.as_data_source("train")[3]["mixture"], whole[3]["mixture"], strict=True
    )
    assert again.info.metadata["train"]["missing"][0] == "Track00004"
    assert again.info.metadata["train"]["sample_rate"] == 22050


def test_a_second_preparation_does_nothing(small, tmp_path):
    builder, folder = small
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    again = Slakh2100(data_dir=folder, config=builder.builder_config)
    again.download_and_prepare()  # would need SRC
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def damage(folder):
    for path in (folder / "stems").iterdir():
        path.write_bytes(b"no audio")


@pytest.mark.parametrize("tracks_per_shard", [1, 2])
def test_a_damaged_track_is_skipped_named_and_counted(tmp_path, caplog, tracks_per_shard):
    source = tmp_path / "source"
    slakh_layout.redux(source)
    damage(source / "train/Track00002")
    cut = Cut(chunk=2**14, hop=512, tracks_per_shard=tracks_per_shard)
    builder = built(Slakh2100, source, tmp_path / "tfds", SlakhConfig(name="small", cut=cut))
    assert "skipped Track00002: " in caplog.text
    read = {record["track"].decode() for record in builder.as_data_source("train")}
    assert read == {"Track00001", "Track00003"}
    again = Slakh2100(data_dir=tmp_path / "tfds", config=builder.builder_config)
    assert list(again.info.metadata["train"]["damaged"]) == ["Track00002"]
    assert "S01.flac is not audio" in again.info.metadata["train"]["damaged"]["Track00002"]
    assert again.info.metadata["test"]["damaged"] == {}
    assert again.info.metadata["train"]["tracks"] == 3


def test_a_split_without_a_readable_track_is_refused_and_nothing_stays(tmp_path):
    source = tmp_path / "source"
    slakh_layout.redux(source)
    damage(source / "validation/Track01501")
    config = SlakhConfig(name="small", cut=CUT)
    with pytest.raises(InputError, match="slakh2100, validation: none of 1 tracks is readable"):
        built(Slakh2100, source, tmp_path / "tfds", config)
    assert not Slakh2100(data_dir=tmp_path / "tfds", config=config).is_prepared()
    assert not list((tmp_path / "tfds").rglob("*.array_record*"))


def test_what_is_not_there_is_named(redux, tmp_path):
    with pytest.raises(InputError, match=r"split2|train not found|holds no track"):
        built(Slakh2100, redux / "train/Track00001", tmp_path / "a", "folders")
    with pytest.raises(AssertionError, match="gmsdi data download slakh"):
        built(Slakh2100, tmp_path / "nowhere", tmp_path / "b", "folders")
    with pytest.raises(ConfigError, match="--runner"):
        built(Slakh2100, redux, tmp_path / "c", "folders", beam_runner="DirectRunner")


@pytest.mark.parametrize(
    ("name", "builder_class", "rate"),
    [
        ("slakh2100", Slakh2100, 22050),
        ("slakh2100/original", Slakh2100, 22050),
        ("slakh2100/redux", Slakh2100, 22050),
        ("slakh2100/split2_44k", Slakh2100, 44100),
        ("minislakh", MiniSlakh, 22050),
        ("minislakh/44k", MiniSlakh, 44100),
        ("mtg_jamendo", MtgJamendo, 22050),
        ("mtg_jamendo/paper", MtgJamendo, 22050),
        ("mtg_jamendo/split-0_44k", MtgJamendo, 44100),
    ],
)
def test_names_and_configurations(name, builder_class, rate, tmp_path):
    builder = tfds.builder(name, data_dir=tmp_path)
    assert type(builder) is builder_class
    assert builder.builder_config.cut.sample_rate == rate
    assert builder.info.file_format is tfds.core.FileFormat.ARRAY_RECORD
    seconds = builder.info.features["mixture"].shape[0] / rate
    assert seconds == pytest.approx(5.94, abs=0.01)


@pytest.mark.parametrize("builder_class", [Slakh2100, MiniSlakh, MtgJamendo])
def test_what_is_known_of_a_data_set(builder_class, tmp_path):
    builder = builder_class(data_dir=tmp_path)
    assert str(builder.version) in builder.release_notes
    assert builder.info.redistribution_info.license
    assert set(builder.get_metadata().tags) <= set(tfds.core.dataset_metadata.valid_tags())
    if builder_class is not MiniSlakh:
        assert builder.info.homepage.startswith("http")
        assert builder.info.citation.startswith("@inproceedings")


SCRIPT = """
import sys
import gmsdi_jax.cli.data.prepare
import data_pipelines.slakh, data_pipelines.jamendo, data_pipelines.beam
assert "tensorflow_datasets" not in sys.modules
import tensorflow_datasets as tfds
import data_pipelines.builders
from data_pipelines.prepare import Cut
config = data_pipelines.builders.SlakhConfig(name="small", cut=Cut(chunk=2**14, hop=512))
builder = tfds.builder("slakh2100", config=config, data_dir=sys.argv[2])
builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=sys.argv[1])
)
assert builder.as_data_source("test")[0]["stems"].shape == (4, 2**14)
assert not {"tensorflow", "pandas", "apache_beam"} & sys.modules.keys()
"""


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is not None, reason="it is here")
def test_nothing_of_it_needs_tensorflow_and_nothing_else_imports_tfds(redux, tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(redux), str(tmp_path)]
    subprocess.run(command, check=True, timeout=120)
