"""The sounds that an evaluation kept: copied beside the page, drawn, and put to the null test.

The null test asks what is lost: the peak of the mixture minus the sum of a method's stems. A
separator whose stems sum to the mixture leaves nothing but the rounding of the files, at -130 dB or
below with 24 bits.

Files of a report are numbered, for songs and methods may be called anything; they are hard links
where the file system has them, since a kept evaluation easily holds a gigabyte.
"""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from gmsdi_jax import audio
from gmsdi_jax.errors import InputError, OutputError
from gmsdi_jax.report.run import AUDIO, Run
from gmsdi_jax.report.spectrogram import mel_power, png

MIXTURE, REFERENCE = "mixture", "reference"
SOUND = "sound"
NULL_FLOOR = -150.0
"""The lowest peak that is told apart from nothing, dB of full scale."""

GREY = (128, 138, 155)
COLOURS = (
    (79, 134, 247),
    (240, 98, 88),
    (232, 160, 50),
    (43, 178, 155),
    (163, 116, 236),
    (226, 98, 168),
    (120, 176, 62),
    (64, 170, 214),
)
"""The colours of the stems, in their order, on dark and on light ground."""


@dataclass
class Version:
    """One way to hear a song: the mixture, the true stems, or the stems of a method."""

    name: str
    files: list[str | None] = field(default_factory=list)
    """A sound per stem (for the mixture, one), relative to the page."""
    pictures: list[str | None] = field(default_factory=list)
    """Their spectrograms."""
    null_db: float | None = None
    """The peak of the mixture minus the sum of the stems, dB of full scale, if all stems exist."""


@dataclass
class Sounds:
    """All versions of one song; the mixture comes first, the true stems second."""

    seconds: float
    versions: list[Version]


def colour(stem: int) -> tuple[int, int, int]:
    """Red, green and blue of the stem of this number."""
    return COLOURS[stem % len(COLOURS)]


def kept(run: Run, song: str) -> Path | None:
    """The folder of a song's sounds; None if they were not kept."""
    folder = run.folder / AUDIO / _part(song)
    return folder if (folder / f"{MIXTURE}.flac").is_file() else None


def _part(name: str) -> str:
    """A name as one part of a path within the folder, as ``gmsdi evaluate`` makes it."""
    return name.replace("/", "-").lstrip(".") or "-"


def gather(
    run: Run,
    song: str,
    number: int,
    out: Path,
    on_version: Callable[[str], None] = lambda version: None,
) -> Sounds | None:
    """Copies a song's sounds to ``out/sound`` and draws them; None if they were not kept.

    Args:
        run: the evaluation.
        song: its name there.
        number: its number in the report.
        out: the folder of the page.
        on_version: called with the name of each version before it is read.

    Raises:
        InputError: a file cannot be read, or does not fit the mixture.
        OutputError: a file cannot be written.
    """
    source = kept(run, song)
    if source is None:
        return None
    place = f"{SOUND}/{number:03d}-{_slug(song)}"
    on_version(MIXTURE)
    sounding, rate = audio.read(source / f"{MIXTURE}.flac")
    mono = mel_power(sounding.mean(1), rate)
    loudest = float(np.percentile(mono, 99.5))  # one drum must not dim the song
    mixture = Version(MIXTURE)
    _keep(source / f"{MIXTURE}.flac", png(mono, loudest, GREY), f"{place}/{MIXTURE}", out, mixture)
    versions = [mixture]
    for name in (REFERENCE, *run.methods):
        on_version(name)
        version, rest = Version(name), sounding.copy()
        for stem, label in enumerate(run.labels):
            path = source / _part(name) / f"{_part(label)}.flac"
            if not path.is_file():
                version.files.append(None)
                version.pictures.append(None)
                continue
            samples = _fitting(path, sounding, rate)
            rest -= samples
            picture = png(mel_power(samples.mean(1), rate), loudest, colour(stem))
            target = f"{place}/{len(versions)}-{_slug(name)}/{stem + 1}-{_slug(label)}"
            _keep(path, picture, target, out, version)
        if any(version.files):
            version.null_db = _peak_db(rest) if all(version.files) else None
            versions.append(version)
    return Sounds(len(sounding) / rate, versions)


def _fitting(
    path: Path, mixture: Float32[np.ndarray, "t c"], rate: int
) -> Float32[np.ndarray, "t c"]:
    samples, own = audio.read(path)
    if own != rate or len(samples) != len(mixture):
        raise InputError(
            f"{path}: {len(samples)} samples at {own} Hz are not the mixture's {len(mixture)} at "
            f"{rate} Hz: evaluate again, into a new folder"
        )
    if samples.shape[1] not in (1, mixture.shape[1]):
        raise InputError(
            f"{path}: {samples.shape[1]} channels are not the mixture's {mixture.shape[1]}: "
            "evaluate again, into a new folder"
        )
    return samples


def _peak_db(samples: Float32[np.ndarray, "t c"]) -> float:
    peak = max(float(np.abs(samples).max()), 10 ** (NULL_FLOOR / 20))
    return 20 * float(np.log10(peak))


def _keep(sound: Path, picture: bytes, target: str, out: Path, version: Version) -> None:
    """Puts a sound and its picture beside the page and notes them in `version`."""
    path = out / f"{target}.flac"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(sound, path)
        except OSError:  # another disk, or a file system without links
            shutil.copyfile(sound, path)
        path.with_suffix(".png").write_bytes(picture)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    version.files.append(f"{target}.flac")
    version.pictures.append(f"{target}.png")


def _slug(name: str) -> str:
    """What is left of a name in a file's name: letters and digits, at most 40."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "x"
