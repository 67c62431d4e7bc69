"""What can be downloaded, from where, and how it is known to be right.

Slakh2100 and BabySlakh are one archive each on Zenodo, under CC BY 4.0, with the md5 that the data
set's loader in mirdata 1.0.0 pins. The big one is arranged as `redux`, with the omitted tracks in
a folder of their own. Sizes are rough: they serve to ask for room on the disk before the start.
"""

from dataclasses import dataclass

from data_pipelines.download.checksums import Checksum
from data_pipelines.download.unpack import Limits


@dataclass(frozen=True)
class Archive:
    """How the archive that a file is becomes a folder."""

    folder: str
    """Name of the folder below the destination."""
    size: int
    """Bytes of its files, roughly."""
    limits: Limits
    """Beyond these it is not what it should be."""


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set."""

    path: str
    """Its place below the destination, with slashes."""
    url: str
    """Where it is."""
    checksum: Checksum
    """What it must have."""
    size: int
    """Bytes, roughly."""
    archive: Archive | None = None
    """What it unpacks to, if it is an archive."""


SLAKH = RemoteFile(
    "slakh2100_flac_redux.tar.gz",
    "https://zenodo.org/record/4599666/files/slakh2100_flac_redux.tar.gz",
    Checksum("md5", "f4b71b6c45ac9b506f59788456b3f0c4"),
    105 * 10**9,
    Archive("slakh2100_flac_redux", 106 * 10**9, Limits(members=300_000, size=300 * 10**9)),
)
BABYSLAKH = RemoteFile(
    "babyslakh_16k.tar.gz",
    "https://zenodo.org/record/4603870/files/babyslakh_16k.tar.gz",
    Checksum("md5", "311096dc2bde7d61c97e930edbfc7f78"),
    10**9,
    Archive("babyslakh_16k", 2 * 10**9, Limits(members=10_000, size=20 * 10**9)),
)
