"""Cuts the example out of a MiniSlakh track: the sum of the four class stems, and the class stems.

    python examples/cut_song.py minislakh/test/Track00197 examples --seconds 30

writes ``song.flac`` and ``song_stems/{Bass,Drums,Guitar,Piano}.flac`` at the track's own rate. The
song is the sum of the stems to 16 bits, not the track's ``mix.flac``, which may hold other
instruments.
"""

import argparse
from pathlib import Path

import numpy as np

from data_pipelines.slakh import CLASSES, class_stems
from gmsdi_jax.audio import write

RATE = 44100


def main() -> None:
    """Cuts and writes."""
    parser = argparse.ArgumentParser(description="Cuts the example out of a MiniSlakh track.")
    parser.add_argument("track", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    length = round(options.seconds * RATE)
    stems = class_stems(options.track, RATE)[:, :length]
    stems = (
        np.round(stems * 32768) / 32768
    )  # what 16 bits hold, so that the song is their exact sum
    for label, stem in zip(CLASSES, stems, strict=True):
        write(options.out / "song_stems" / f"{label}.flac", stem[:, None], RATE, "PCM_16")
    write(options.out / "song.flac", stems.sum(0)[:, None], RATE, "PCM_16")


if __name__ == "__main__":
    main()
