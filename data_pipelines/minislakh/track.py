"""One track on disk, by the rules that made Slakh2100.

    TrackNNNNN/
      all_src.mid  metadata.yaml  mix.flac
      MIDI/S00.mid ...  stems/S00.flac ...

Mono, 44.1 kHz, 16-bit FLAC. Each stem is normalised to -13 LUFS (ITU-R BS.1770-4, gated, so rests
do not count); the mix is the plain sum; if its peak exceeds -1 dB full scale, one common gain
lowers the mix and all stems (Manilow et al. 2019, and the code in ethman/slakh-generation).
`integrated_loudness` in the metadata is the loudness before normalisation, as in Slakh.

A track is made in a hidden folder beside its place and renamed when whole, so a track that exists
is a whole track.
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyloudnorm
import yaml
from jaxtyping import Float

from data_pipelines.minislakh.compose import Composition, Part
from data_pipelines.minislakh.midi import midi_bytes
from data_pipelines.minislakh.render import SAMPLE_RATE, Renderer
from gmsdi_jax.audio import write as write_audio
from gmsdi_jax.errors import UnavailableError

LOUDNESS = -13.0  # LUFS of every stem
PEAK = -1.0  # dB full scale, the highest peak of a mix
SILENT = 1e-4  # peak of a rendered stem (full scale = 1) below which it is not written
DRUM_PROGRAM = 128  # what Slakh's metadata says for drums, whatever the kit
PROGRAM_NAMES = {
    0: "Acoustic Grand Piano",
    1: "Bright Acoustic Piano",
    2: "Electric Grand Piano",
    3: "Honky-tonk Piano",
    4: "Electric Piano 1",
    5: "Electric Piano 2",
    16: "Drawbar Organ",
    17: "Percussive Organ",
    18: "Rock Organ",
    19: "Church Organ",
    24: "Acoustic Guitar (nylon)",
    25: "Acoustic Guitar (steel)",
    26: "Electric Guitar (jazz)",
    27: "Electric Guitar (clean)",
    28: "Electric Guitar (muted)",
    29: "Overdriven Guitar",
    30: "Distortion Guitar",
    32: "Acoustic Bass",
    33: "Electric Bass (finger)",
    34: "Electric Bass (pick)",
    35: "Fretless Bass",
    36: "Slap Bass 1",
    37: "Slap Bass 2",
    38: "Synth Bass 1",
    39: "Synth Bass 2",
    48: "String Ensemble 1",
    49: "String Ensemble 2",
    50: "Synth Strings 1",
    51: "Synth Strings 2",
    122: "Seashore",
}


def stem_names(parts: Sequence[Part]) -> list[str]:
    """S00, S01, ... in the order of the parts."""
    return [f"S{i:02d}" for i in range(len(parts))]


def mix_stems(
    stems: dict[str, Float[np.ndarray, "t"]],
) -> tuple[dict[str, Float[np.ndarray, "t"]], Float[np.ndarray, "t"], float, dict[str, float]]:
    """Stems at -13 LUFS each times one gain, their sum, that gain, and their loudness before.

    A stem below the gate of BS.1770 (-70 LUFS throughout) has no loudness and is dropped.

    Raises:
        UnavailableError: no stem is audible, so the sound font lacks the instruments.
    """
    meter = pyloudnorm.Meter(SAMPLE_RATE)
    loudness = {name: float(meter.integrated_loudness(x)) for name, x in stems.items()}
    loudness = {name: value for name, value in loudness.items() if np.isfinite(value)}
    if not loudness:
        raise UnavailableError("every stem is silent: use a full General MIDI font (--soundfont)")
    scaled = {n: stems[n] * 10 ** ((LOUDNESS - value) / 20) for n, value in loudness.items()}
    mix = np.asarray(sum(scaled.values()))
    peak, target = float(np.max(np.abs(mix))), 10 ** (PEAK / 20)
    gain = target / peak if peak >= target else 1.0
    return {name: x * gain for name, x in scaled.items()}, mix * gain, gain, loudness


def _stem_metadata(part: Part, loudness: float | None, flags: bool) -> dict[str, Any]:
    """The fields of one stem; a stem without audio has no loudness and the plugin 'None'."""
    is_drum = part.inst_class == "Drums"
    fields: dict[str, Any] = {
        "audio_rendered": flags and loudness is not None,
        "inst_class": part.inst_class,
        "is_drum": is_drum,
        "midi_program_name": "Drums" if is_drum else PROGRAM_NAMES[part.program],
        "midi_saved": flags,
        "plugin_name": "None",
        "program_num": DRUM_PROGRAM if is_drum else part.program,
    }
    if loudness is not None:
        fields["integrated_loudness"] = loudness
        fields["plugin_name"] = f"general_midi_{part.program:03d}.sf2"
    return fields


def _write_midi(folder: Path, composition: Composition) -> str:
    """Writes all MIDI files; returns the md5 of the one that holds every stem."""
    parts, names, bpm = composition.parts, stem_names(composition.parts), composition.song.bpm
    (folder / "MIDI").mkdir()
    for part, name in zip(parts, names, strict=True):
        (folder / "MIDI" / f"{name}.mid").write_bytes(midi_bytes([part], [name], bpm))
    whole = midi_bytes(parts, names, bpm)
    (folder / "all_src.mid").write_bytes(whole)
    return hashlib.md5(whole, usedforsecurity=False).hexdigest()


def _render_stems(
    folder: Path, composition: Composition, renderer: Renderer
) -> dict[str, Float[np.ndarray, "t"]]:
    """The sound of each rendered part that is audible."""
    samples = round(composition.seconds * SAMPLE_RATE)
    stems = {}
    for part, name in zip(composition.parts, stem_names(composition.parts), strict=True):
        if part.rendered:
            sound = renderer(folder / "MIDI" / f"{name}.mid", samples)
            if np.max(np.abs(sound)) >= SILENT:
                stems[name] = sound
    return stems


def _write_flac(path: Path, sound: Float[np.ndarray, "t"]) -> None:
    write_audio(path, sound[:, None], SAMPLE_RATE, subtype="PCM_16")


def write_track(place: Path, composition: Composition, renderer: Renderer) -> None:
    """Renders a composition into the folder `place`, which appears only when it is whole."""
    folder = place.with_name(f".{place.name}.partial")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "stems").mkdir(parents=True)
    uuid = _write_midi(folder, composition)
    stems, mix, gain, loudness = mix_stems(_render_stems(folder, composition, renderer))
    for name, sound in stems.items():
        _write_flac(folder / "stems" / f"{name}.flac", sound)
    _write_flac(folder / "mix.flac", mix)
    flags = not composition.oddities.false_flags
    names = stem_names(composition.parts)
    metadata = {
        "UUID": uuid,
        "audio_dir": "stems",
        "lmd_midi_dir": f"minislakh/{uuid}.mid",
        "midi_dir": "MIDI",
        "normalization_factor": LOUDNESS,
        "normalized": True,
        "overall_gain": float(gain),
        "stems": {
            name: _stem_metadata(part, loudness.get(name), flags)
            for name, part in zip(names, composition.parts, strict=True)
        },
        "target_peak": PEAK,
    }
    (folder / "metadata.yaml").write_text(yaml.safe_dump(metadata), encoding="utf-8")
    folder.rename(place)
