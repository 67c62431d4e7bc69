"""MIDI files of a composition: one for each stem, and `all_src.mid` with all of them.

Drums are on channel 10 (index 9), where a program change picks the kit. File bytes depend on the
composition alone, so that two machines can compare what they composed by a hash.
"""

import io
from collections.abc import Sequence

import mido

from data_pipelines.minislakh.compose import Part

TICKS_PER_BEAT = 480
DRUM_CHANNEL = 9
MELODIC_CHANNELS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15)


def channels(parts: Sequence[Part]) -> list[int]:
    """A MIDI channel (0 to 15) for each part: 9 for drums, else the next free one."""
    free = iter(MELODIC_CHANNELS)
    return [DRUM_CHANNEL if part.inst_class == "Drums" else next(free) for part in parts]


def _track(part: Part, name: str, channel: int) -> mido.MidiTrack:
    """The events of one part; at the same tick a note ends before the next begins."""
    events: list[tuple[int, int, int, int]] = []
    for note in part.notes:
        on = round(note.start * TICKS_PER_BEAT)
        off = max(on + 1, round((note.start + note.length) * TICKS_PER_BEAT))
        events += [(on, 1, note.pitch, note.velocity), (off, 0, note.pitch, 0)]
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name, time=0)])
    track.append(mido.Message("program_change", program=part.program, channel=channel, time=0))
    last = 0
    for tick, on, pitch, velocity in sorted(events):
        kind = "note_on" if on else "note_off"
        message = mido.Message(
            kind, note=pitch, velocity=velocity, channel=channel, time=tick - last
        )
        track.append(message)
        last = tick
    return track


def midi_bytes(parts: Sequence[Part], names: Sequence[str], bpm: float) -> bytes:
    """A MIDI file (format 1) with a tempo track and one track per part."""
    tempo = mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm), time=0)
    metre = mido.MetaMessage("time_signature", numerator=4, denominator=4, time=0)
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT)
    file.tracks.append(mido.MidiTrack([tempo, metre]))
    for part, name, channel in zip(parts, names, channels(parts), strict=True):
        file.tracks.append(_track(part, name, channel))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()
