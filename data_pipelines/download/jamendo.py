"""MTG-Jamendo in low quality: a hundred tars from a mirror, and the lists from its repository.

The tars hold mono mp3 files ``NN/ID.low.mp3``, NN = ID mod 100, 156 GB in all; each track has a
Creative Commons licence of its own (``audio_licenses.txt``). The lists (CC BY-NC-SA 4.0) are taken
at one commit and pinned by git's names of their contents, which are facts of that commit; the
sha256 of each tar is then read from a list that was pinned so. They keep their places in the
repository, but ``data/autotagging.tsv`` is left out: there it is a link to
``raw_30s_cleantags_50artists.tsv``.

Source: MTG/mtg-jamendo-dataset at the commit below, ``scripts/download/download.py`` for the
mirrors and ``git ls-tree`` for the contents.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from data_pipelines.download.catalogue import Archive, RemoteFile
from data_pipelines.download.checksums import Checksum
from data_pipelines.download.unpack import Limits
from gmsdi_jax.errors import ConfigError, InputError

COMMIT = "1b4fa8c32e076c73b5175c1703ae805b4109309d"
LISTS_AT = f"https://raw.githubusercontent.com/MTG/mtg-jamendo-dataset/{COMMIT}"
MIRRORS = {
    "cdn": "https://cdn.freesound.org/mtg-jamendo/raw_30s/audio-low",
    "mtg": "https://essentia.upf.edu/documentation/datasets/mtg-jamendo/raw_30s/audio-low",
}
"""The authors' mirrors of the tars: a fast one, and their own server."""
TARS = 100
TAR_SIZE = 1_560_000_000
SUMS = "data/download/raw_30s_audio-low_sha256_tars.txt"
BLOBS = {
    "audio_licenses.txt": "0672e1840650a4e1352dfe9ab487f67de8954171",
    SUMS: "844c66c4bc0b2bc1a71043439a180766dcdafd32",
    "data/download/raw_30s_audio-low_sha256_tracks.txt": "570ff1abe98ed09c16f734a935f33797c3e1b22d",
    "data/raw_30s.tsv": "ff21eccc35cc885eda78be316de8df60332c8de0",
    "data/raw_30s_cleantags_50artists.tsv": "bedb85a7516209d5c30f41557fc189aec415a5ff",
    "data/splits/split-0/autotagging-train.tsv": "95f6147112b8ce3f1e42e27bf30f051e758d5b99",
    "data/splits/split-0/autotagging-validation.tsv": "f11c65500e63eb8a63c775f470071db9ecc12360",
    "data/splits/split-0/autotagging-test.tsv": "6a14702bb012bfef3870323ca156390803f5db2f",
    "data/splits/split-1/autotagging-train.tsv": "db1fcdf764f1bbe80ba4e06087be3fad1593f5cb",
    "data/splits/split-1/autotagging-validation.tsv": "8b611c494648ea3f20a102f8f629a31a1bbca745",
    "data/splits/split-1/autotagging-test.tsv": "70ceb719f0242e322b45ed545796875651038000",
    "data/splits/split-2/autotagging-train.tsv": "503f2de6c3981985e069c61ba4b8c62912eb20ed",
    "data/splits/split-2/autotagging-validation.tsv": "d8df5b01b92727e8bd04c9aeb80a2c8d7f62298b",
    "data/splits/split-2/autotagging-test.tsv": "18c4ce8523e23ce28743712f555665bd28cf95f6",
    "data/splits/split-3/autotagging-train.tsv": "d7a08ec6ac616044dca03db81657007fa159eaf3",
    "data/splits/split-3/autotagging-validation.tsv": "589342974050ef49178947da9ab2baa6186e49ad",
    "data/splits/split-3/autotagging-test.tsv": "e14a58d26998e79ecea065ff4816973a375f93df",
    "data/splits/split-4/autotagging-train.tsv": "5d46c41390d364e186d8ea4a39fe74f9d3a6624d",
    "data/splits/split-4/autotagging-validation.tsv": "fbb407a3ca215640429c82341865d6215d7b60f3",
    "data/splits/split-4/autotagging-test.tsv": "87682c0a1c82118afcd649ef056c7c30cfdf4aae",
}
"""The lists by their places in the repository, and git's names of their contents."""
_LIST_SIZE = 8_000_000
_LIMITS = Limits(members=20_000, size=20 * 10**9)


def lists(base: str = LISTS_AT) -> tuple[RemoteFile, ...]:
    """The list files, from the repository at `COMMIT` or from a copy of it at `base`."""
    return tuple(
        RemoteFile(path, f"{base.rstrip('/')}/{path}", Checksum("git blob", blob), _LIST_SIZE)
        for path, blob in BLOBS.items()
    )


def tars(sums: Path, parts: Iterable[int], base: str = MIRRORS["cdn"]) -> tuple[RemoteFile, ...]:
    """The tars of some parts.

    Args:
        sums: The list of the tars' sha256, `SUMS`.
        parts: Their numbers, from 0 to 99.
        base: The folder they are in.

    Raises:
        InputError: The list does not name a part.
    """
    # Lines are "<sha256> <name>", with one space.
    lines = re.findall(r"^([0-9a-f]{64}) (\S+)$", sums.read_text(encoding="ascii"), re.MULTILINE)
    by_name = {name: value for value, name in lines}
    files = []
    for part in parts:
        name = f"raw_30s_audio-low-{part:02d}.tar"
        if name not in by_name:
            raise InputError(f"{sums}: {name} is not in it: delete it and run again")
        archive = Archive(f"{part:02d}", TAR_SIZE, _LIMITS)
        check = Checksum("sha256", by_name[name])
        files.append(RemoteFile(name, f"{base.rstrip('/')}/{name}", check, TAR_SIZE, archive))
    return tuple(files)


def parse_parts(text: str) -> tuple[int, ...]:
    """The numbers of the tars in a text such as ``0-97,98,99``, sorted, each once.

    Raises:
        ConfigError: It is not such a text, or a number is not from 0 to 99.
    """
    numbers: set[int] = set()
    for item in text.replace(" ", "").split(","):
        found = re.fullmatch(r"([0-9]{1,3})(?:-([0-9]{1,3}))?", item)
        if not found:
            raise ConfigError(f"--parts {text!r}: give numbers and ranges, such as 0-97,98,99")
        first, last = int(found[1]), int(found[2] or found[1])
        if not first <= last < TARS:
            raise ConfigError(f"--parts {item}: tars go from 0 to {TARS - 1}, ranges upwards")
        numbers.update(range(first, last + 1))
    return tuple(sorted(numbers))
