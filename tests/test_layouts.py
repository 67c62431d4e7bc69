"""The small data that other tests read is what it says it is."""

import hashlib
import tarfile
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
import yaml
from layouts import jamendo, slakh
from layouts.signals import LOWEST

BANDS = {"Bass": (30, 100), "Guitar": (150, 640), "Piano": (650, 2500), "Organ": (2600, 5000)}


def digest(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


@pytest.fixture(scope="module")
def redux(tmp_path_factory):
    return slakh.redux(tmp_path_factory.mktemp("slakh"))


def test_the_same_call_writes_the_same_files(tmp_path):
    for name in ("a", "b"):
        slakh.track(tmp_path / name / "Track00001", slakh.HARD)
        jamendo.dataset(tmp_path / name / "jamendo", jamendo.TRACKS[:2])
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_metadata_has_the_traps_of_the_real_files(redux):
    hard = redux["Track00001"]
    entries = yaml.safe_load((hard.folder / "metadata.yaml").read_text())["stems"]
    assert [key for key, entry in entries.items() if "integrated_loudness" not in entry] == [
        "S04",
        "S06",
    ]
    assert entries["S04"]["plugin_name"] == "None"  # the word
    assert not (hard.folder / "stems" / "S04.flac").exists()
    assert {"S05", "S07"}.isdisjoint(entries)
    lying = yaml.safe_load((redux["Track00003"].folder / "metadata.yaml").read_text())["stems"]
    assert all(not entry["audio_rendered"] for entry in lying.values())
    assert sorted(path.stem for path in (redux["Track00003"].folder / "stems").iterdir()) == [
        *lying
    ]


def test_files_hold_what_the_writer_says(redux):
    hard = redux["Track00001"]
    for key, pcm in hard.pcm.items():
        read, rate = soundfile.read(hard.folder / "stems" / f"{key}.flac", dtype="int16")
        assert rate == hard.sample_rate == 44100
        np.testing.assert_array_equal(read, pcm)
    assert sorted({len(pcm) / 44100 for pcm in hard.pcm.values()}) == [1, 2, 3]
    mix, _ = soundfile.read(hard.folder / "mix.flac")
    classes = {stem.inst_class for stem in hard.stems.values()}
    np.testing.assert_allclose(mix, sum(hard.class_sum(name) for name in classes), atol=1e-9)
    assert not hard.class_sum("Piano").any()


def test_classes_lie_in_bands_of_their_own(redux):
    for name, (low, high) in BANDS.items():
        for track in redux.values():
            audio = track.class_sum(name)
            if not audio.any():
                continue
            power = np.abs(np.fft.rfft(audio)) ** 2
            inside = np.arange(len(power)) / len(audio) * track.sample_rate
            share = power[(inside > low) & (inside < high)].sum() / power.sum()
            assert share > 0.9, (name, track.folder)


def test_notes_are_those_that_sound(redux):
    band = redux["Track00002"]
    for key, notes in band.notes.items():
        file = mido.MidiFile(band.folder / "MIDI" / f"{key}.mid")
        name = band.stems[key].inst_class
        time, starts = 0.0, []
        for message in file:
            time += message.time
            if message.type == "note_on":
                assert (message.channel == 9) == (name == "Drums")
                assert 0 <= message.note - LOWEST[name] < 12
                starts.append(time)
        np.testing.assert_allclose(starts, [note.start for note in notes], atol=1e-3)
        # Silent before the first note, and not after it begins.
        first = round(notes[0].start * 44100)
        assert not band.pcm[key][:first].any()
        assert band.pcm[key][first : first + 2000].any()
    together = mido.MidiFile(band.folder / "all_src.mid")
    assert sum(m.type == "note_on" for m in together) == sum(map(len, band.notes.values()))


def test_jamendo_as_published(tmp_path):
    archives, tables = jamendo.dataset(tmp_path)
    assert (tables / "autotagging.tsv").read_bytes().endswith(b"\r\n")
    with tarfile.open(archives / "raw_30s_audio-low-00.tar") as tar:
        assert tar.getnames() == ["00", "00/100.low.mp3", "00/200.low.mp3", "00/1300.low.mp3"]
    lists = (tables / "download" / "raw_30s_audio-low_sha256_tars.txt").read_text().splitlines()
    first = archives / "raw_30s_audio-low-00.tar"
    assert lists[0] == f"{hashlib.sha256(first.read_bytes()).hexdigest()} {first.name}"
