"""Tars listed and read in place: `tarfile` writes them, and every damage is named."""

import io
import pickle
import tarfile

import pytest
from layouts.archives import entry, tar

from data_pipelines.tars import MAX_NAME, index
from gmsdi_jax.errors import InputError

FILES = [("00/1.mp3", b"one"), ("00/2.mp3", b"x" * 512), ("00/3.mp3", b""), ("a b/ü.wav", b"four")]
LONG = [("deep/" * 60 + "name.flac", b"long"), ("n" * 150 + ".flac", b"longer"), *FILES]


def contents(found):
    """What the members hold, by name."""
    result = {}
    for name, member in found.members.items():
        with member.open() as file:
            result[name] = file.read()
    return result


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_those_that_were_written(tmp_path, format):
    path = tmp_path / "a.tar"
    # An ustar name cannot have 150 characters without a slash.
    files = FILES if format == tarfile.USTAR_FORMAT else LONG
    with tarfile.open(path, "w", format=format, pax_headers={"comment": "global"}) as file:
        file.addfile(entry("00"))
        for name, data in files:
            info = tarfile.TarInfo(f"./{name}" if name[0] == "0" else name)
            info.size, info.mtime = len(data), 1.5  # a fraction: pax needs a record for it
            file.addfile(info, io.BytesIO(data))
    found = index(path)
    assert not found.refused
    assert contents(found) == dict(files)
    assert list(found.members) == [name for name, _ in files]


def test_a_member_is_a_file_that_seeks_within_itself(tmp_path):
    member = index(tar(tmp_path / "a.tar", [("a", b"before"), ("b", b"0123456789")])).members["b"]
    with pickle.loads(pickle.dumps(member)).open() as file:
        assert file.seek(-3, io.SEEK_END) == 7
        assert file.read() == b"789"
        assert file.read() == b""
        file.seek(2)
        assert (file.read(3), file.tell()) == (b"234", 5)
        assert file.seek(1, io.SEEK_CUR) == 6
        assert file.seek(50) == 50
        assert file.read() == b""
        with pytest.raises(OSError, match="before"):
            file.seek(-51, io.SEEK_CUR)


def test_hostile_members_are_named_and_the_others_kept(tmp_path):
    hostile = [
        ("../up.mp3", b"evil"),
        ("/etc/absolute.mp3", b"evil"),
        ("00/../../up.mp3", b"evil"),
        entry("00/symbolic.mp3", tarfile.SYMTYPE, "/etc/passwd"),
        entry("00/hard.mp3", tarfile.LNKTYPE, "/etc/passwd"),
        entry("00/device.mp3", tarfile.CHRTYPE),
        entry("00/pipe.mp3", tarfile.FIFOTYPE),
        ("00/twice.mp3", b"a"),
        ("00/twice.mp3", b"b"),
        ("00/new\nline.mp3", b"c"),
    ]
    path = tar(tmp_path / "a.tar", [entry("00"), *FILES[:2], *hostile, FILES[3]])
    found = index(path)
    assert contents(found) == {
        "00/1.mp3": b"one",
        "00/2.mp3": b"x" * 512,
        "00/new\\x0aline.mp3": b"c",
        "a b/ü.wav": b"four",
    }
    assert found.refused == {
        "../up.mp3": f"{path}: ../up.mp3 points out of the tar",
        "/etc/absolute.mp3": f"{path}: /etc/absolute.mp3 points out of the tar",
        "00/../../up.mp3": f"{path}: 00/../../up.mp3 points out of the tar",
        "00/symbolic.mp3": f"{path}: 00/symbolic.mp3 is a link, which is not followed",
        "00/hard.mp3": f"{path}: 00/hard.mp3 is a link, which is not followed",
        "00/device.mp3": f"{path}: 00/device.mp3 is a device, which is not followed",
        "00/pipe.mp3": f"{path}: 00/pipe.mp3 is a pipe, which is not followed",
        "00/twice.mp3": f"{path}: 00/twice.mp3 is there twice: pack the tar again",
    }


def test_cut_anywhere_nothing_is_lost_in_silence(tmp_path):
    files = [(f"{n}.mp3", bytes([n]) * (300 * n)) for n in range(1, 6)]
    whole = tar(tmp_path / "whole.tar", files).read_bytes()
    last = max(n for n, byte in enumerate(whole) if byte) + 1
    for size in range(0, last + 512, 97):
        path = tmp_path / "cut.tar"
        path.write_bytes(whole[:size])
        found = index(path)
        assert "" in found.refused, size
        assert found.refused[""].startswith(f"{path} is damaged or cut short (")
        kept = contents(found)
        assert kept == dict(files[: len(kept)])
        cut = [name for name in found.refused if name]
        assert cut in ([], [files[len(kept)][0]] if len(kept) < 5 else [])


def test_one_flipped_byte_of_a_header_is_found(tmp_path):
    data = tar(tmp_path / "whole.tar", FILES).read_bytes()
    path = tmp_path / "flipped.tar"
    checksum_end = 155  # the one byte that means nothing
    for position in [n for n in range(512) if data[n] and n != checksum_end]:
        damaged = bytearray(data)
        damaged[position + 1024] ^= 0x55  # in the second header
        path.write_bytes(damaged)
        found = index(path)
        assert "" in found.refused, position
        assert list(found.members) == ["00/1.mp3"]


def test_a_hole_of_zeros_is_not_the_end(tmp_path):
    data = tar(tmp_path / "whole.tar", FILES).read_bytes()
    path = tmp_path / "hole.tar"
    path.write_bytes(data[:1024] + bytes(1024) + data[2048:])
    assert "more follows" in index(path).refused[""]
    path.write_bytes(data + data)
    assert "more follows" in index(path).refused[""]
    path.write_bytes(data + bytes(100_000))  # padding is no damage
    assert not index(path).refused


@pytest.mark.parametrize("data", [b"", b"no tar" * 1000, bytes(100), b"\x1f\x8b" + bytes(2000)])
def test_what_is_no_tar_says_so(tmp_path, data):
    path = tmp_path / "no.tar"
    path.write_bytes(data)
    found = index(path)
    assert not found.members
    assert list(found.refused) == [""]
    assert "\n" not in found.refused[""]


def test_a_tar_that_cannot_be_opened(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        index(tmp_path / "none.tar")
    with pytest.raises(InputError, match="directory"):
        index(tmp_path)
    member = index(tar(tmp_path / "a.tar", FILES)).members["00/1.mp3"]
    (tmp_path / "a.tar").unlink()
    with pytest.raises(InputError, match="No such file"):
        member.open()


def raw(name=b"x", size=b"00000000000", kind=b"0", data=b""):
    """A member whose header says whatever it likes, under a correct checksum."""
    header = bytearray(512)
    header[0 : len(name)], header[124 : 124 + len(size)], header[156:157] = name, size, kind
    header[100:108] = header[108:116] = header[116:124] = b"0000644\0"
    header[136:148], header[148:156], header[257:265] = b"0" * 11 + b"\0", b" " * 8, b"ustar\x0000"
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data + bytes(-len(data) % 512)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (raw(size=b"\xff" * 11), "negative size"),  # would walk backwards, for ever
        (raw(size=b"\x80" + b"\xff" * 10), "ends inside x"),
        (raw(kind=b"L", size=b"77777777777"), f"a name of {8**11 - 1} bytes"),
        (raw(kind=b"x", size=b"00000000012", data=b"0 path=x\n\0"), "pax"),
        (raw(kind=b"x", size=b"00000000012", data=b"-9 size=1\n"), "pax"),
        (raw(kind=b"x", size=b"00000000015", data=b"13 size=-512\n") + raw(), "negative size"),
        (raw(kind=b"x", size=b"00000000014", data=b"12 size=abc\n") + raw(), "invalid literal"),
    ],
)
def test_headers_that_lie_end_in_a_line(tmp_path, members, reason):
    path = tmp_path / "lies.tar"
    path.write_bytes(raw(b"good", b"00000000003", data=b"abc") + members + bytes(1024))
    found = index(path)
    assert contents(found) == {"good": b"abc"}
    assert reason in found.refused[""]
    assert MAX_NAME < 8**11
