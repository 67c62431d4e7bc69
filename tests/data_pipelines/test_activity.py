import mido
import numpy as np
import pytest

from data_pipelines.activity import note_activity, notes
from gmsdi_jax.errors import InputError


def midi(path, events, tempo=500_000):
    """``events``: (seconds, kind, pitch); 480 ticks per beat, beats of half a second by default."""
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=tempo)])
    last = 0
    for seconds, kind, pitch in events:
        tick = round(mido.second2tick(seconds, 480, tempo))
        velocity = 0 if kind == "silent" else 64
        name = "note_on" if kind == "silent" else kind
        track.append(mido.Message(name, note=pitch, velocity=velocity, time=tick - last))
        last = tick
    mido.MidiFile(tracks=[track], ticks_per_beat=480).save(str(path))
    return path


def test_notes_have_their_times_in_seconds(tmp_path):
    events = [
        (0.5, "note_on", 60),
        (0.75, "note_on", 64),
        (1.0, "note_off", 60),
        (1.5, "silent", 64),
    ]
    for tempo in (500_000, 300_000):
        found = notes(midi(tmp_path / "a.mid", events, tempo))
        np.testing.assert_allclose(found, [(0.5, 1.0), (0.75, 1.5)], atol=2e-3)


def test_a_note_without_an_end_lasts_to_the_end_of_the_file(tmp_path):
    path = midi(
        tmp_path / "a.mid", [(0.5, "note_on", 60), (1.0, "note_on", 62), (2.0, "note_off", 62)]
    )
    np.testing.assert_allclose(notes(path), [(0.5, 2.0), (1.0, 2.0)], atol=2e-3)


def test_activity_of_several_files_per_frame(tmp_path):
    one = midi(tmp_path / "a.mid", [(0.5, "note_on", 60), (1.0, "note_off", 60)])
    two = midi(tmp_path / "b.mid", [(2.05, "note_on", 60), (2.06, "note_off", 60)])
    found = note_activity([one, two], 25, 0.1)
    assert np.flatnonzero(found).tolist() == [5, 6, 7, 8, 9, 20]
    assert not note_activity([], 25, 0.1).any()


@pytest.mark.parametrize(
    "data", [b"", b"MThd", b"RIFF" * 100, b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0"]
)
def test_what_is_no_midi_file_is_named(tmp_path, data):
    path = tmp_path / "S00.mid"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"S00\.mid is no MIDI file"):
        notes(path)
