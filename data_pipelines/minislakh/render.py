"""Sound from MIDI files, by the `fluidsynth` program and a General MIDI sound font.

One process renders one stem, dry (no reverb, no chorus), faster than real time; it loads only the
samples that the stem needs, which makes its start about 0.1 s even with a font of 150 MB. Anything
that maps a MIDI file and a length to a mono signal is a `Renderer`, so tests need no fluidsynth.
"""

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float

from gmsdi_jax.errors import UnavailableError

SAMPLE_RATE = 44100
GAIN = 0.5  # stems are normalised later; float output cannot clip
SECONDS_PER_STEM = 600  # a process that runs longer hangs
SOUNDFONTS = (
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",  # Debian, Ubuntu: fluid-soundfont-gm
    "/usr/share/soundfonts/FluidR3_GM.sf2",  # Arch: soundfont-fluid; Fedora: fluid-soundfont-gm
    "/usr/share/soundfonts/default.sf2",
    "/usr/share/sounds/sf2/default-GM.sf2",
    "/usr/local/share/soundfonts/FluidR3_GM.sf2",
    "/opt/homebrew/share/soundfonts/FluidR3_GM.sf2",  # Homebrew has no font: put one here
)
HOW_TO_GET = (
    "get both with `apt-get install fluidsynth fluid-soundfont-gm`, or with "
    "`brew install fluid-synth` and a General MIDI font such as FluidR3_GM.sf2 as --soundfont"
)


class Renderer(Protocol):
    """Makes sound from a MIDI file."""

    def describe(self) -> dict[str, str]:
        """What tells two renderers that sound different apart; it goes into the manifest."""
        ...

    def __call__(self, midi: Path, samples: int) -> Float[np.ndarray, "t"]:
        """A mono signal of `samples` samples at `SAMPLE_RATE`."""
        ...


@dataclass(frozen=True)
class FluidSynth:
    """The fluidsynth program with one sound font."""

    program: str
    soundfont: Path
    soundfont_sha256: str
    version: str

    def describe(self) -> dict[str, str]:
        """Program, version, and the font's name and sha256."""
        return {
            "renderer": "fluidsynth",
            "fluidsynth": self.version,
            "soundfont": self.soundfont.name,
            "soundfont_sha256": self.soundfont_sha256,
        }

    def __call__(self, midi: Path, samples: int) -> Float[np.ndarray, "t"]:
        """The mean of the two channels, cut or padded with zeros to `samples` samples.

        Raises:
            UnavailableError: fluidsynth failed or made no sound file.
        """
        raw = midi.with_suffix(".raw")
        settings = ["-o", "synth.dynamic-sample-loading=1", "-r", str(SAMPLE_RATE), "-g", str(GAIN)]
        command = [self.program, "-ni", "-q", "-R", "0", "-C", "0", *settings]
        command += ["-O", "float", "-T", "raw", "-F", str(raw), str(self.soundfont), str(midi)]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=SECONDS_PER_STEM,
            )
            if done.returncode or not raw.exists() or not raw.stat().st_size:
                said = " ".join(done.stderr.decode(errors="replace").split())[:200]
                raise UnavailableError(
                    f"fluidsynth could not render {midi.name} with {self.soundfont}: {said}"
                )
            stereo = np.fromfile(raw, dtype=np.float32).reshape(-1, 2)[:samples]
        finally:
            raw.unlink(missing_ok=True)
        mono = np.zeros(samples, np.float32)
        mono[: len(stereo)] = 0.5 * (stereo[:, 0] + stereo[:, 1])
        return mono


def find_soundfont(named: Path | None = None) -> Path:
    """The font that is named, else that of the variable SOUNDFONT, else one in the usual places.

    Raises:
        UnavailableError: there is none.
    """
    chosen = named or os.environ.get("SOUNDFONT")
    if chosen:
        if not Path(chosen).is_file():
            raise UnavailableError(f"the sound font {chosen} does not exist; {HOW_TO_GET}")
        return Path(chosen)
    for place in SOUNDFONTS:
        if Path(place).is_file():
            return Path(place)
    raise UnavailableError(f"no General MIDI sound font found; {HOW_TO_GET}")


def find_fluidsynth(soundfont: Path | None = None) -> FluidSynth:
    """The fluidsynth of this machine with the font named, or with the first one found.

    Raises:
        UnavailableError: fluidsynth or the font is missing; the line says how to get both.
    """
    program = shutil.which("fluidsynth")
    if program is None:
        raise UnavailableError(f"MiniSlakh needs the program fluidsynth; {HOW_TO_GET}")
    font = find_soundfont(soundfont)
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    words = said.stdout.split("\n")[0].split()
    with font.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FluidSynth(program, font, digest, words[-1] if words else "unknown")
