"""What a file says of itself before it is decoded: is it whole, does it contradict itself?

libsndfile reads what is cut or damaged as far as it gets and often says nothing. Each format tells
in a way of its own what is missing, and this finds out which way to take: `wav`, `flac`, `ogg`,
`mp3` beside this file.
"""

from dataclasses import dataclass
from typing import BinaryIO

from gmsdi_jax.audio.flac import FlacSum, read_flac_header
from gmsdi_jax.audio.mp3 import Mp3, id3_size, walk_mp3
from gmsdi_jax.audio.ogg import ogg_damage
from gmsdi_jax.audio.wav import read_wav_header


@dataclass(frozen=True)
class Container:
    """What was found."""

    problem: str = ""
    """What is wrong, in words; nothing where nothing is."""
    missing: int = 0
    """Frames that a wav or aiff promises beyond the end of the file."""
    mp3: Mp3 | None = None
    """The frames of an mp3; none where it should be one and is not."""
    flac_sum: FlacSum | None = None
    """The checksum of a flac, to be compared once all is read."""


def examine(file: BinaryIO, suffix: str = "") -> Container:
    """Looks through an open file from its beginning.

    libsndfile takes whatever is called .mp3 for one, and searches it for frames.
    """
    file.seek(0)
    start = 0
    while size := id3_size(file.read(10)):  # such a tag stands before anything
        start += size
        file.seek(start)
    file.seek(start)
    mark = file.read(4)
    if mark == b"fLaC":
        problem, flac_sum = read_flac_header(file)
        return Container(problem, flac_sum=flac_sum)
    file.seek(start)
    if mark == b"OggS":
        return Container(ogg_damage(file))
    if mark in (b"RIFF", b"RF64", b"FORM"):
        header = read_wav_header(file)
        return Container(header.problem, header.missing)
    if start or suffix == ".mp3" or (mark[:1] == b"\xff" and mark[1:2] >= b"\xe0"):
        mp3 = walk_mp3(file, start)
        return Container(mp3.problem, mp3=mp3)
    return Container()
