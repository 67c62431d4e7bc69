"""Folders in both layouts, built of tones: every stem is a sine of its own amplitude."""

import shutil

import numpy as np
import pytest
import soundfile
import yaml

from data_pipelines import prepare as preparation
from data_pipelines.prepare import Cut
from data_pipelines.slakh import CLASSES, class_stems, plans
from gmsdi_jax.data import fixed_windows, open_split, presence, training_batches
from gmsdi_jax.errors import ConfigError, InputError

RATE = 44100
FREQUENCIES = {"Bass": 110.0, "Drums": 1500.0, "Guitar": 440.0, "Piano": 660.0, "Organ": 300.0}


def prepare(source, out, splits=("train", "validation", "test"), chunk=2**14, hop=512, **options):
    """One track per file, so that every track is an advance of its own."""
    jobs, on_progress = options.pop("jobs", 1), options.pop("on_progress", lambda step: None)
    cut = Cut(chunk=chunk, hop=hop, tracks_per_shard=1)
    planned = plans(source, splits=splits, hop=hop, **options)
    return preparation.prepare(planned, out, cut, jobs=jobs, on_progress=on_progress)


def tone(name, seconds, amplitude=0.1, rate=RATE):
    t = np.arange(round(seconds * rate)) / rate
    return amplitude * np.sin(2 * np.pi * FREQUENCIES[name] * t)


def slakh_track(folder, stems, missing=(), flag=True):
    """``stems``: (class, audio) in order; those of ``missing`` stand in the metadata only."""
    (folder / "stems").mkdir(parents=True)
    entries = {}
    for number, (name, audio) in enumerate(stems):
        key = f"S{number:02d}"
        entries[key] = {
            "audio_rendered": flag,
            "inst_class": name,
            "is_drum": name == "Drums",
            "plugin_name": "None" if number in missing else "tone.nkm",
        }
        if number not in missing:
            soundfile.write(folder / "stems" / f"{key}.flac", audio, RATE, subtype="PCM_16")
    total = np.zeros(max(len(audio) for _, audio in stems))
    soundfile.write(folder / "mix.flac", total + 0.5, RATE)  # never to be read
    (folder / "metadata.yaml").write_text(yaml.safe_dump({"UUID": "x", "stems": entries}))


def msdm_track(folder, stems, rate=22050):
    folder.mkdir(parents=True)
    for name, audio in stems.items():
        soundfile.write(folder / f"{name.lower()}.wav", audio, rate, subtype="PCM_16")


def half(audio):
    """The audio with its second half silent."""
    return np.where(np.arange(len(audio)) < len(audio) // 2, audio, 0)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("slakh")
    slakh_track(
        root / "train/Track00001",
        [
            ("Guitar", tone("Guitar", 3)),
            ("Bass", half(tone("Bass", 3))),
            ("Guitar", tone("Guitar", 2, 0.05)),  # shorter, and a second stem of its class
            ("Organ", tone("Organ", 3, 0.3)),  # of no class
            ("Sound Effects", tone("Organ", 3)),
            ("Piano", tone("Piano", 3)),  # never rendered: no file
            ("Drums", tone("Drums", 1)),
        ],
        missing=(5,),
    )
    slakh_track(root / "train/Track00002", [("Piano", tone("Piano", 4))], flag=False)
    for split in ("validation", "test"):
        slakh_track(
            root / split / "Track00003", [(n, tone(n, 2)) for n in ("Drums", "Bass", "Guitar")]
        )
    # Loud enough that the sum leaves full scale, and without drums.
    loud = {n: tone(n, 2, 0.6, 22050) for n in ("Bass", "Guitar", "Piano")}
    msdm_track(root / "test/Track00004", loud)
    slakh_track(root / "omitted/Track00005", [("Bass", tone("Bass", 1))])
    return root


@pytest.fixture(scope="module")
def prepared(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    steps = []
    manifests = prepare(source, out, on_progress=steps.append)
    return out, manifests, steps


def amplitudes(stems, rate=22050):
    """Amplitude of each class's own tone in its stem, away from the ends."""
    t = np.arange(stems.shape[1]) / rate
    waves = [np.exp(-2j * np.pi * FREQUENCIES[name] * t) for name in CLASSES]
    return np.array([2 * abs(np.mean(stem * w)) for stem, w in zip(stems, waves, strict=True)])


def test_class_stems_are_sums_over_files_that_exist(source):
    stems = class_stems(source / "train/Track00001", 22050)
    assert stems.shape == (4, 3 * 22050)
    bass, drums, guitar, piano = stems[:, 2205 : 22050 - 2205]  # within the first second
    both = amplitudes(np.stack([bass, drums, guitar, piano]))
    np.testing.assert_allclose(both, [0.1, 0.1, 0.15, 0], atol=2e-3)
    assert not piano.any()
    # The sum of classes has no organ in it.
    t = np.arange(len(bass)) / 22050
    organ = abs(np.mean((bass + drums + guitar) * np.exp(-2j * np.pi * 300 * t)))
    assert organ < 1e-3
    np.testing.assert_allclose(stems[1, 22050 + 500 :], 0, atol=1e-4)  # drums end after 1 s
    np.testing.assert_allclose(stems[2, -1000:], tone("Guitar", 3, rate=22050)[-1000:], atol=1e-2)


def test_flag_does_not_count(source):
    stems = class_stems(source / "train/Track00002", 22050)
    np.testing.assert_allclose(amplitudes(stems), [0, 0, 0, 0.1], atol=1e-3)


def test_msdm_layout(source):
    stems = class_stems(source / "test/Track00004", 22050)
    np.testing.assert_allclose(amplitudes(stems), [0.6, 0, 0.6, 0.6], atol=1e-3)
    assert not stems[1].any()


def test_stereo_is_averaged(tmp_path):
    mono = tone("Bass", 1)
    slakh_track(tmp_path / "a", [("Bass", np.stack([mono, np.zeros_like(mono)], axis=1))])
    np.testing.assert_allclose(
        amplitudes(class_stems(tmp_path / "a", 22050)), [0.05, 0, 0, 0], atol=1e-3
    )


def test_splits_and_omitted(prepared):
    out, manifests, steps = prepared
    assert sorted(path.name for path in out.iterdir()) == ["test", "train", "validation"]
    names = {split: [track.name for track in m.tracks] for split, m in manifests.items()}
    assert names == {
        "train": ["Track00001", "Track00002"],
        "validation": ["Track00003"],
        "test": ["Track00003", "Track00004"],
    }
    assert [(s.split, s.done, s.total) for s in steps] == [
        ("train", 1, 2),
        ("train", 2, 2),
        ("validation", 1, 1),
        ("test", 1, 2),
        ("test", 2, 2),
    ]


def test_shards_hold_what_was_read(source, prepared):
    for track in open_split(prepared[0] / "test", verify=True).tracks():
        stems = class_stems(source / "test" / track.name, 22050)
        gain = 0.999 / np.abs(stems.sum(0)).max() if track.name == "Track00004" else 1.0
        assert np.abs(track.mixture).max() < 1
        np.testing.assert_allclose(track.stems[..., 0], gain * stems, atol=0.51 / 32768)
        np.testing.assert_allclose(track.mixture[:, 0], gain * stems.sum(0), atol=0.51 / 32768)
        np.testing.assert_allclose(track.mixture, track.stems.sum(0), atol=2.6 / 32768)


def test_gain_is_recorded_for_loud_tracks_only(prepared):
    quiet, loud = prepared[1]["test"].tracks
    assert quiet.gain == 1.0
    assert 0.6 < loud.gain < 0.9


def test_training_shards_hold_no_stems(prepared):
    split = open_split(prepared[0] / "train")
    assert all(split[i].stems is None for i in range(len(split)))


def test_presence_is_per_window_and_not_per_track(prepared):
    track = next(open_split(prepared[0] / "train").tracks())
    frames = 8
    starts = range(0, track.levels.shape[1] - frames, frames)
    found = {tuple(presence(track.levels[:, s : s + frames], 0.0045).tolist()) for s in starts}
    bass, drums, guitar = 0, 1, 2
    assert (True, True, True, False) in found  # first second
    assert (False, False, True, False) in found  # the last
    assert all(present[guitar] for present in found)
    assert {present[bass] for present in found} == {present[drums] for present in found}
    rms = np.sqrt(track.levels[guitar, :8].mean())
    np.testing.assert_allclose(rms, 0.15 / np.sqrt(2), rtol=0.01)


def test_summary_of_the_manifest(prepared):
    manifest = prepared[1]["train"]
    assert manifest.seconds == pytest.approx(7)
    assert sum(manifest.label_sets.values()) == 4  # whole windows of 1.5 s: 2 + 2
    assert set(manifest.label_sets) >= {"Piano"}
    mixture = np.concatenate(
        [track.mixture for track in open_split(prepared[0] / "train").tracks()]
    )
    assert manifest.sigma_data == pytest.approx(np.sqrt(np.mean(mixture**2)), rel=1e-4)


def test_batches_and_windows_come_out(prepared):
    out, _, _ = prepared
    batch = next(training_batches(open_split(out / "train"), 4096, 4, 0))
    assert batch.audio.shape == (4, 4096, 1)
    assert fixed_windows(open_split(out / "test"), 4096, 4).presence.sum(1).min() >= 2


def test_result_does_not_depend_on_jobs(source, prepared, tmp_path):
    manifests = prepare(source, tmp_path, splits=["test"], jobs=2)
    assert manifests["test"] == prepared[1]["test"]  # with the checksums of all files


def test_finished_splits_are_kept_and_the_others_made(source, prepared, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(prepared[0], out)
    (out / "test/manifest.json").unlink()  # as if killed before the end
    steps = []
    manifests = prepare(source, out, on_progress=steps.append)
    assert {step.split for step in steps} == {"test"}
    assert manifests == prepared[1]
    open_split(out / "test", verify=True)


def test_other_settings_or_tracks_are_refused(source, prepared, tmp_path):
    with pytest.raises(ConfigError, match="hop 512, now 256"):
        prepare(source, prepared[0], hop=256)
    other = tmp_path / "other"
    shutil.copytree(source / "train", other / "train")
    shutil.rmtree(other / "train/Track00002")
    with pytest.raises(ConfigError, match="other tracks"):
        prepare(other, prepared[0], splits=["train"])


def damage(folder, kind):
    if kind == "flac":
        path = folder / "stems/S00.flac"
        path.write_bytes(path.read_bytes()[:3000])
    elif kind == "yaml":
        (folder / "metadata.yaml").write_text("stems: [1, 2")
    elif kind == "keys":
        (folder / "metadata.yaml").write_text("stems: {S00: 3}")
    else:
        shutil.rmtree(folder / "stems")


@pytest.mark.parametrize("kind", ["flac", "yaml", "keys", "stems"])
def test_damaged_track_is_named_skipped_and_counted(source, tmp_path, kind):
    copy = tmp_path / "source"
    shutil.copytree(source / "train", copy / "train")
    damage(copy / "train/Track00002", kind)
    steps = []
    manifest = prepare(copy, tmp_path / "out", ["train"], on_progress=steps.append)["train"]
    assert list(manifest.damaged) == ["Track00002"]
    assert "Track00002" in manifest.damaged["Track00002"]
    assert "\n" not in manifest.damaged["Track00002"]
    assert [track.name for track in manifest.tracks] == ["Track00001"]
    assert [list(step.skipped) for step in steps] == [[], ["Track00002"]]


def test_nothing_readable_is_an_error_and_leaves_no_split(tmp_path):
    (tmp_path / "source/train/Track00001").mkdir(parents=True)
    with pytest.raises(InputError, match="none of 1 tracks"):
        prepare(tmp_path / "source", tmp_path / "out", splits=["train"])
    assert not (tmp_path / "out/train/manifest.json").exists()
    with pytest.raises(InputError, match="test not found"):
        prepare(tmp_path / "source", tmp_path / "out", splits=["test"])


def test_a_flat_folder_goes_by_the_numbers(source, tmp_path):
    for track, split in (("Track00001", "train"), ("Track01501", "validation")):
        shutil.copytree(source / "train/Track00002", tmp_path / "baby" / track)
        assert [s.name for s in plans(tmp_path / "baby")[split].sources] == [track]
    made = plans(tmp_path / "baby")
    assert set(made) == {"train", "validation"}
    assert made["train"].arrangement == "the official list original"
    assert len(made["train"].missing) == 1499


def test_an_official_list_moves_tracks_and_names_the_missing(source, tmp_path):
    for place in ("train/Track00001", "train/Track01876", "omitted/Track00002"):
        shutil.copytree(source / "train/Track00002", tmp_path / place)
    as_lying = plans(tmp_path, splits=["train"])["train"]
    assert [track.name for track in as_lying.sources] == ["Track00001", "Track01876"]
    assert as_lying.missing == ()
    original = plans(tmp_path, arrangement="original")
    names = {split: [track.name for track in plan.sources] for split, plan in original.items()}
    assert names == {"train": ["Track00001", "Track00002"], "test": ["Track01876"]}
    assert len(original["train"].missing) == 1498
    assert original["train"].missing[0] == "Track00003"
    shutil.copytree(source / "train/Track00002", tmp_path / "validation/Track00001")
    with pytest.raises(InputError, match="Track00001 have one name"):
        plans(tmp_path, arrangement="original")
    with pytest.raises(ConfigError, match="no arrangement 'new'"):
        plans(tmp_path, arrangement="new")  # type: ignore[arg-type]
