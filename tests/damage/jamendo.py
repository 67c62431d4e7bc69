"""Damage to MTG-Jamendo: tars, the mp3 in them, and the tables."""

import shutil
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

from layouts import jamendo
from layouts.archives import audio_bytes, entry, tar
from layouts.jamendo import TRACKS, Track

from damage import edits
from damage.case import Case
from damage.edits import Edit, at, become, cut, flip, link, put, sub

COMMAND = ("data", "jamendo")
OPTIONS = ("--jobs", "1", "--chunk", "16384", "--hop", "512")
FIRST, SECOND, THIRD = TRACKS[:3]
TAR = "raw_30s_audio-low-00.tar"
HELD = tuple(f"train/{track.name}" for track in TRACKS[:3])
TABLE = "data/raw_30s_cleantags_50artists.tsv"
MP3 = "97/97.low.mp3"
Member = tuple[str, bytes] | tarfile.TarInfo


def source(root: Path) -> Path:
    """Parts 97 and 99 as folders, the others as tars, the tables beside them."""
    loose = [track for track in TRACKS if track.part in ("97", "99")]
    jamendo.folders(root, loose)
    jamendo.tars(root, [track for track in TRACKS if track not in loose])
    jamendo.metadata(root / "data")
    return root


def file(track: Track, data: bytes | None = None) -> tuple[str, bytes]:
    """A track as a member."""
    return (f"{track.name}.low.mp3", track.mp3() if data is None else data)


def packed(*members: Member) -> Edit:
    """Another tar in the place of the first."""
    return at(TAR, lambda path: tar(path, [entry("00"), *members]))


def raw(data: Callable[[], bytes]) -> Member:
    """Members that tarfile would not write, spelled out."""
    info = tarfile.TarInfo("raw")
    info.tobuf = lambda *_, **__: data()  # type: ignore[method-assign]
    return info


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, content: bytes = b"") -> bytes:
    """A header, and what stands behind it."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def _tar(damage: str, do: Edit, *says: str, lost: Iterable[str] = (), lines: int = 1) -> Case:
    return Case("tar", damage, do, says, tuple(lost), lines=lines)


def _member(damage: str, member: Member, *says: str) -> Case:
    """Something else in the place of a track."""
    do = packed(member, file(SECOND), file(THIRD))
    return _tar(damage, do, "skipped 00/100", f"{TAR}: 00/100", *says, lost=HELD[:1])


def _beside(damage: str, name: str, *says: str) -> Case:
    """A member beside all tracks."""
    do = packed(file(FIRST), (name, b"evil"), file(SECOND), file(THIRD))
    return _tar(damage, do, f"skipped {TAR}", *says)


NAME = f"{FIRST.name}.low.mp3"
_BREAK = 512 + 512 + 100  # inside the first track
_NEXT = 512 + 512 + -(-len(FIRST.mp3()) // 512) * 512  # the header of the second
_WHOLE = _NEXT + 2 * 512 + sum(-(-len(track.mp3()) // 512) * 512 for track in (SECOND, THIRD))
ALL = "3 tracks of its list are not in"
TARS = [
    _tar("empty", at(TAR, become(b"")), "is no tar", ALL, lost=HELD, lines=2),
    _tar("a web page", at(TAR, become(edits.HTML)), "damaged or cut short", ALL,
         lost=HELD, lines=2),
    _tar("packed", at(TAR, edits.gzipped), "damaged or cut short", ALL, lost=HELD, lines=2),
    _tar("a bomb, packed", at(TAR, edits.gz_bomb), "damaged or cut short", ALL,
         lost=HELD, lines=2),
    _tar("cut in a track", at(TAR, cut(_BREAK)), "00/100.low.mp3 is cut short",
         f"{TAR} is damaged or cut short", "2 tracks of its list", lost=HELD, lines=3),
    _tar("cut in a header", at(TAR, cut(_NEXT + 100)), f"{TAR} is damaged or cut short",
         "2 tracks of its list", lost=HELD[1:], lines=2),
    _tar("cut between two tracks", at(TAR, cut(_NEXT)), "its end mark is missing",
         "2 tracks of its list", lost=HELD[1:], lines=2),
    _tar("cut behind its tracks", at(TAR, cut(_WHOLE)), "its end mark is missing"),
    _tar("a flipped header", at(TAR, flip(_NEXT + 10)), "bad checksum", "2 tracks of its list",
         lost=HELD[1:], lines=2),
    _tar("a hole of zeros", at(TAR, put(_NEXT, bytes(1024))), "more follows after its end mark",
         "2 tracks of its list", lost=HELD[1:], lines=2),
    _tar("8 GB in a header", at(TAR, put(512, header(NAME, 2**33)[:512])),
         "00/100.low.mp3 is cut short", "2 tracks of its list", lost=HELD, lines=3),
    _tar("a negative size", at(TAR, put(512, header(NAME, -5)[:512])), "negative",
         ALL, lost=HELD, lines=2),
    _tar("a name of gigabytes", at(TAR, put(512, header("x", 2**32, tarfile.GNUTYPE_LONGNAME))),
         "a name of 4294967296 bytes", ALL, lost=HELD, lines=2),
    _tar("a long header of garbage",
         at(TAR, put(512, header("x", 9, tarfile.XHDTYPE, b"9999 path")[:1024])),
         "a damaged pax header", ALL, lost=HELD, lines=2),
    _tar("a folder of its name", at(TAR, edits.folder), "Is a directory", ALL,
         lost=HELD, lines=2),
    _tar("a pipe of its name", at(TAR, edits.pipe), "a pipe", ALL, lost=HELD, lines=2),
    _tar("a link to nothing", at(TAR, link("nowhere")), "No such file", ALL, lost=HELD, lines=2),
    _beside("a way out", "../../evil.mp3", "points out of the tar"),
    _beside("a way out in the middle", "00/../../../evil.mp3", "points out of the tar"),
    _beside("an absolute name", "/outside/evil.mp3", "points out of the tar"),
    _member("a link", entry(NAME, tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
    _member("a hard link", entry(NAME, tarfile.LNKTYPE, "00/200.low.mp3"), "is a link"),
    _member("a device", entry(NAME, tarfile.CHRTYPE), "is a device"),
    _member("a pipe", entry(NAME, tarfile.FIFOTYPE), "is a pipe"),
    _member("a file with holes", entry(NAME, tarfile.GNUTYPE_SPARSE), "stored with holes"),
    _tar("a track twice", packed(file(FIRST), *map(file, TRACKS[:3])),
         "00/100.low.mp3 is there twice", lost=HELD[:1]),
    _tar("a track under a wrong name",
         packed((f"{NAME}\n\x1b[31m", FIRST.mp3()), file(SECOND), file(THIRD)),
         "1 tracks of its list are not in", "00/100", lost=HELD[:1]),
    _member("an empty mp3", file(FIRST, b""), "is empty (0 bytes)"),
    _member("a web page as mp3", file(FIRST, edits.HTML), "is not audio"),
    _member("a cut mp3", file(FIRST, FIRST.mp3()[:-1]), "truncated or damaged"),
    _member("another song", file(FIRST, audio_bytes(300.0, 9.0, format="MP3")),
            "is another recording"),
]  # fmt: skip


def _mp3(damage: str, do: Edit, *says: str) -> Case:
    says = ("skipped 97/97", "97.low.mp3", *says)
    return Case("mp3", damage, at(MP3, do), says, ("train/97/97",))


def _no_part(root: Path) -> None:
    shutil.rmtree(root / "97")
    (root / "97").write_text("a file")


MP3S = [
    _mp3("empty", become(b""), "is empty (0 bytes)"),
    _mp3("cut in its first frame", cut(60), "97.low.mp3 is"),
    _mp3("cut in the middle", cut(0.5), "truncated or damaged (its last frame is cut)"),
    _mp3("cut at 99 %", cut(0.99), "truncated or damaged (its last frame is cut)"),
    _mp3("a hole of zeros", edits.hole(0.5, 400), "are no mp3"),
    _mp3("its second half zeros", edits.hole(0.5, 10**6), "its end is missing"),
    _mp3("a web page", become(edits.HTML), "is not audio"),
    _mp3("ten megabytes of zeros, packed", edits.gz_bomb, "is not audio"),
    _mp3("another song", become(audio_bytes(300.0, 30.0, format="MP3")), "is another recording"),
    _mp3("a song that was cut and encoded again",
         become(audio_bytes(300.0, 0.7, format="MP3")), "is cut short"),
    _mp3("a folder of its name", edits.folder, "is a folder"),
    _mp3("a pipe of its name", edits.pipe, "is not a regular file"),
    _mp3("a link to nothing", link("nowhere"), "does not exist"),
    Case("mp3", "gone", at(MP3, edits.vanish), ("1 tracks of its list are not in", "97/97"),
         ("train/97/97",)),
    Case("folder", "a part is a file", _no_part, ("skipped 97", "Not a directory", "1 tracks"),
         ("train/97/97",), lines=2),
]  # fmt: skip


def _tsv(damage: str, do: Edit, *says: str, code: int = 3) -> Case:
    return Case("tsv", damage, at(TABLE, do), (Path(TABLE).name, *says), code=code, made=False)


def _same(damage: str, do: Edit) -> Case:
    return Case("tsv", damage, at(TABLE, do), (), code=0, lines=0)


def _unix(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n"))


def _utf16(path: Path) -> None:
    path.write_bytes(path.read_bytes().decode().encode("utf-16"))


def _cut_in_line(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


_ROW = b"track_0000100\tartist_000001\talbum_000001\t00/100.mp3\t2.0\t"
TSVS = [
    _tsv("empty", become(b""), "line 1", "its columns are not TRACK_ID"),
    _tsv("a header alone", become("\t".join(jamendo.HEADER) + "\r\n"), "lists no tracks"),
    _tsv("cut in its last line", _cut_in_line, "is cut short", "download it again"),
    _tsv("without a column", sub("\tDURATION", ""), "line 1", "its columns are not"),
    _tsv("a row with a column less", sub(b"\t2.0\t", b"\t"), "line 2"),
    _tsv("a row of one word", sub(_ROW, b"track\r\n" + _ROW), "line 2: 1 columns"),
    _tsv("a track twice", sub(_ROW, _ROW + b"genre---rock\r\n" + _ROW), "00/100 is there twice"),
    _tsv("a duration in words", sub(b"\t2.0\t", b"\tlong\t"), "DURATION 'long'"),
    _tsv("a duration of NaN", sub(b"\t2.0\t", b"\tnan\t"), "DURATION 'nan'"),
    _tsv("a negative duration", sub(b"\t2.0\t", b"\t-2.0\t"), "DURATION '-2.0'"),
    _tsv("no duration", sub(b"\t2.0\t", b"\t0.0\t"), "DURATION '0.0'"),
    _tsv("a path out", sub("00/100.mp3", "../../100.mp3"), "PATH '../../100.mp3'"),
    _tsv("an absolute path", sub("00/100.mp3", "/etc/100.mp3"), "PATH '/etc/100.mp3'"),
    _tsv("the path of another track", sub("00/100.mp3", "00/200.mp3"), "PATH '00/200.mp3'"),
    _tsv("a tag without its category", sub("genre---rock", "rock"), "tag 'rock'"),
    _tsv("zeros in a tag", sub("genre---rock", "genre---ro\0k"), "tag 'genre---ro"),
    _tsv("a tag of ten megabytes", sub("genre---rock", "x" * 10**7), "line 2: field larger"),
    _tsv("a hundred megabytes", become(b"\t" * 10**8), "has more than", "download it again"),
    _tsv("an open quote", sub(_ROW, b'"' + _ROW), "line"),
    _tsv("a web page", become(edits.HTML), "its columns are not"),
    _tsv("another encoding", _utf16, "not text in UTF-8"),
    _tsv("a folder of its name", edits.folder, "cannot be read", "directory"),
    _tsv("a pipe of its name", edits.pipe, "cannot be read", "a pipe"),
    Case("tsv", "gone, and a link to it left", at(TABLE, edits.vanish),
         ("autotagging.tsv is missing", "gmsdi data download jamendo"), code=4, made=False),
    Case("tsv", "all tables gone", lambda root: shutil.rmtree(root / "data"),
         ("has no raw_30s.tsv", "gmsdi data download jamendo"), code=4, made=False),
    _same("with a byte order mark", edits.with_mark),
    _same("line ends of Unix", _unix),
]  # fmt: skip

CASES = [*TARS, *MP3S, *TSVS]
