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

from gmsdi_jax.errors import InputError


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
        for message in mido.MidiFile(str(path)):
            now += message.time
            if message.type not in ("note_on", "note_off"):
                continue
            starts = sounding.setdefault((message.channel, message.note), [])
            if message.type == "note_on" and message.velocity:
                starts.append(now)
            elif starts:
                found.append((starts.pop(0), now))
    except (OSError, EOFError, ValueError, IndexError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} is no MIDI file that can be read: {reason}") from error
    return sorted(found + [(start, now) for starts in sounding.values() for start in starts])
