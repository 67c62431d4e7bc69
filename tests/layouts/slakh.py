"""Slakh2100, BabySlakh and MSDM's four-wav layout.

The fields of ``metadata.yaml`` are those of the real files (mirdata's copy of BabySlakh's
Track00001, and the README of ethman/slakh-utils at 3f62d6a). What the real files do and loaders
get wrong is all here: see `BAND`, `HARD` and `redux`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import mido
import numpy as np
import soundfile
import yaml

from layouts.signals import Note, melody, sound

PROGRAMS = {
    "Piano": (0, "Acoustic Grand Piano", "grand_piano.nkm"),
    "Guitar": (27, "Electric Guitar (clean)", "clean_guitar.nkm"),
    "Bass": (33, "Electric Bass (finger)", "finger_bass.nkm"),
    "Drums": (128, "Drums", "session_kit_full.nkm"),
    "Organ": (16, "Drawbar Organ", "organ.nkm"),
    "Strings (continued)": (48, "String Ensemble 1", "strings.nkm"),
    "Sound Effects": (122, "Seashore", "effects.nkm"),
}
_TICKS = 480
_TICKS_PER_SECOND = 2 * _TICKS  # at 120 beats per minute


@dataclass(frozen=True)
class Stem:
    """One stem of a track."""

    inst_class: str
    seconds: float | None = None
    """Its length; None for that of the track."""
    rendered: bool = True
    """False: it stands in the metadata and has notes, but no audio."""
    amplitude: float = 0.1


BAND = {f"S{n:02d}": Stem(name) for n, name in enumerate(("Drums", "Bass", "Guitar", "Piano"))}
"""All four classes, one stem each."""

HARD = {
    "S00": Stem("Guitar"),
    "S01": Stem("Drums", seconds=1.0),
    "S02": Stem("Bass"),
    "S03": Stem("Guitar", seconds=2.0, amplitude=0.05),
    "S04": Stem("Piano", rendered=False),
    "S06": Stem("Sound Effects", rendered=False),
    "S08": Stem("Organ", amplitude=0.2),
    "S09": Stem("Strings (continued)"),
}
"""Two guitars, unequal lengths, no piano but its notes, other classes, and gaps in the numbers."""


class Written(NamedTuple):
    """What a track holds."""

    folder: Path
    sample_rate: int
    stems: Mapping[str, Stem]
    notes: dict[str, list[Note]]
    """Of every stem, rendered or not, by its key such as S03."""
    pcm: dict[str, np.ndarray]
    """The 16-bit samples of the rendered stems."""

    def class_sum(self, inst_class: str) -> np.ndarray:
        """The sum of all rendered stems of a class, full scale = 1; zeros where there is none."""
        keys = [key for key in self.pcm if self.stems[key].inst_class == inst_class]
        return _sum([self.pcm[key] for key in keys], max(map(len, self.pcm.values()))) / 32768


def track(
    folder: Path,
    stems: Mapping[str, Stem] = BAND,
    *,
    seconds: float = 3.0,
    seed: int = 0,
    flags: bool = True,
    sample_rate: int = 44100,
    suffix: str = ".flac",
    midi: bool = True,
) -> Written:
    """Writes one TrackNNNNN.

    Args:
        folder: where; its name seeds the music too.
        stems: by key, such as S03.
        seconds: length of the stems that do not say their own.
        seed: other music.
        flags: False writes ``audio_rendered`` and ``midi_saved`` as false, as BabySlakh does.
        sample_rate: Hz.
        suffix: .flac or .wav.
        midi: whether to write MIDI/ and all_src.mid.
    """
    uuid = hashlib.md5(f"{folder.name} {seed}".encode()).hexdigest()
    rng = np.random.default_rng(int(uuid[:16], 16))
    notes = {k: melody(s.inst_class, s.seconds or seconds, rng) for k, s in stems.items()}
    pcm = {
        key: sound(
            stem.inst_class, notes[key], stem.seconds or seconds, sample_rate, stem.amplitude
        )
        for key, stem in stems.items()
        if stem.rendered
    }
    (folder / "stems").mkdir(parents=True)
    for key, samples in pcm.items():
        soundfile.write(folder / "stems" / f"{key}{suffix}", samples, sample_rate)
    if pcm:
        mix = _sum(list(pcm.values()), max(map(len, pcm.values())))
        mix = np.clip(mix, -32768, 32767).astype(np.int16)
        soundfile.write(folder / f"mix{suffix}", mix, sample_rate)
    if midi:
        (folder / "MIDI").mkdir()
        for key in stems:
            _midi({key: stems[key]}, notes).save(folder / "MIDI" / f"{key}.mid")
        _midi(stems, notes).save(folder / "all_src.mid")
    text = yaml.safe_dump(_metadata(uuid, stems, pcm, flags), sort_keys=True)
    (folder / "metadata.yaml").write_text(text)
    return Written(folder, sample_rate, stems, notes, pcm)


def redux(root: Path, *, seconds: float = 3.0) -> dict[str, Written]:
    """Slakh2100 as its archive unpacks: train, validation, test and omitted; tracks by name.

    Track00001 is `HARD`, Track00003 has lying flags and no drums, the others are bands. Every track
    stands where the official list of redux puts it.
    """
    no_drums = {key: stem for key, stem in BAND.items() if stem.inst_class != "Drums"}
    return {
        f"Track{number:05d}": track(
            root / split / f"Track{number:05d}", stems, seconds=seconds, flags=number != 3
        )
        for split, number, stems in (
            ("train", 1, HARD),
            ("train", 2, BAND),
            ("train", 3, no_drums),
            ("validation", 1501, BAND),
            ("test", 1877, BAND),
            ("test", 1878, no_drums),
            ("omitted", 1879, BAND),
        )
    }


def baby(root: Path, *, tracks: int = 2, seconds: float = 3.0) -> dict[str, Written]:
    """BabySlakh: no folders of splits, wav at 16 kHz, flags that lie."""
    folders = [root / f"Track{number + 1:05d}" for number in range(tracks)]
    return {
        folder.name: track(
            folder, HARD if folder.name == "Track00001" else BAND,
            seconds=seconds, flags=False, sample_rate=16000, suffix=".wav",
        )
        for folder in folders
    }  # fmt: skip


def msdm(
    folder: Path,
    classes: tuple[str, ...] = ("Bass", "Guitar", "Piano"),
    *,
    seconds: float = 3.0,
    sample_rate: int = 22050,
) -> dict[str, np.ndarray]:
    """One track of MSDM's layout, by default without its drums.wav: 16-bit samples by class."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(int(hashlib.md5(folder.name.encode()).hexdigest()[:16], 16))
    pcm = {n: sound(n, melody(n, seconds, rng), seconds, sample_rate) for n in classes}
    for name, samples in pcm.items():
        soundfile.write(folder / f"{name.lower()}.wav", samples, sample_rate)
    return pcm


def _sum(parts: list[np.ndarray], length: int) -> np.ndarray:
    total = np.zeros(length)
    for part in parts:
        total[: len(part)] += part
    return total


def _metadata(uuid: str, stems: Mapping[str, Stem], pcm: dict, flags: bool) -> dict:
    entries = {}
    for key, stem in stems.items():
        program, program_name, plugin = PROGRAMS[stem.inst_class]
        entries[key] = {
            "audio_rendered": flags and stem.rendered,
            "inst_class": stem.inst_class,
            "is_drum": stem.inst_class == "Drums",
            "midi_program_name": program_name,
            "midi_saved": flags,
            "plugin_name": plugin if stem.rendered else "None",
            "program_num": program,
        }
        if stem.rendered:
            power = np.mean((pcm[key] / 32768) ** 2)
            entries[key]["integrated_loudness"] = float(10 * np.log10(power + 1e-10) - 0.691)
    return {
        "UUID": uuid,
        "audio_dir": "stems",
        "lmd_midi_dir": f"lmd_matched/A/A/A/TRAAA/{uuid}.mid",
        "midi_dir": "MIDI",
        "normalization_factor": -13.0,
        "normalized": True,
        "overall_gain": 0.18270259567062658,
        "stems": entries,
        "target_peak": -1.0,
    }


def _midi(stems: Mapping[str, Stem], notes: dict[str, list[Note]]) -> mido.MidiFile:
    """A file of format 1: a track of tempo, then one track per stem."""
    file = mido.MidiFile(type=1, ticks_per_beat=_TICKS)
    file.tracks.append(mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000, time=0)]))
    for number, (key, stem) in enumerate(stems.items()):
        channel = 9 if stem.inst_class == "Drums" else number % 9
        program = 0 if stem.inst_class == "Drums" else PROGRAMS[stem.inst_class][0]
        events = []
        for note in notes[key]:
            start, end = (
                round(_TICKS_PER_SECOND * t) for t in (note.start, note.start + note.seconds)
            )
            events += [(start, 1, note.pitch, note.velocity), (end, 0, note.pitch, 0)]
        messages = [
            mido.MetaMessage("track_name", name=key, time=0),
            mido.Message("program_change", program=program, channel=channel, time=0),
        ]
        last = 0
        for tick, on, pitch, velocity in sorted(events):
            kind = "note_on" if on else "note_off"
            messages.append(
                mido.Message(kind, note=pitch, velocity=velocity, channel=channel, time=tick - last)
            )
            last = tick
        file.tracks.append(mido.MidiTrack(messages))
    return file
