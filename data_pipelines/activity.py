"""Who plays by the notes: MIDI files as activity per frame.

A frame is active while a note sounds: from its note_on to its note_off, whatever the velocity and
without the sustain pedal. Notes say what was *meant* to play; the level of a stem says what is
heard (a release that rings on, a sample that is missing).
"""

from collections.abc import Sequence
from pathlib import Path

import mido
import numpy as np
from jaxtyping import Float
from mido.midifiles.meta import KeySignatureError

from data_pipelines.corpus import MAX_SECONDS
from data_pipelines.text_files import open_regular
from gmsdi_jax.errors import InputError

# What mido raises of bytes that are no MIDI.
_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    KeySignatureError,
)


def note_activity(
    paths: Sequence[Path], frames: int, frame_seconds: float
) -> Float[np.ndarray, " frames"]:
    """1 in frames in which a note of any of the files sounds, else 0.

    Args:
        paths: MIDI files; none give silence.
        frames: Length of the result.
        frame_seconds: Length of a frame.

    Raises:
        InputError: A file is no MIDI file.
    """
    active = np.zeros(frames, np.float32)
    for path in paths:
        for start, end in notes(path):
            first = int(start / frame_seconds)
            active[first : max(first + 1, int(np.ceil(end / frame_seconds)))] = 1
    return active


def notes(path: Path) -> list[tuple[float, float]]:
    """Start and end of every note of a MIDI file, in seconds; one that never ends lasts to the end.

    Raises:
        InputError: It is no MIDI file.
    """
    found: list[tuple[float, float]] = []
    sounding: dict[tuple[int, int], list[float]] = {}
    now = 0.0
    try:
        for message in _load(path):
            now += message.time
            if message.type not in ("note_on", "note_off"):
                continue
            starts = sounding.setdefault((message.channel, message.note), [])
            if message.type == "note_on" and message.velocity:
                starts.append(now)
            elif starts:
                found.append((starts.pop(0), now))
        if now > MAX_SECONDS:
            raise ValueError(f"it lasts {now / 3600:.3g} hours")
    except _ERRORS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        message = f"{path} is no MIDI file that can be read ({reason}): download it again"
        raise InputError(message) from error
    return sorted(found + [(start, now) for starts in sounding.values() for start in starts])


def _load(path: Path) -> mido.MidiFile:
    """The file, whose header counts its tracks and gives a time to its ticks."""
    with open_regular(path) as file:
        midi = mido.MidiFile(file=file)
        rest = file.read(4)
    if midi.ticks_per_beat <= 0:
        raise ValueError("its time is not counted in beats")
    if midi.type not in (0, 1) or not midi.tracks or rest == b"MTrk":
        raise ValueError(f"type {midi.type} with {len(midi.tracks)} tracks, and more may follow")
    return midi
