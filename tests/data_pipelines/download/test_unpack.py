"""Archives to folders: good ones whole, hostile ones not at all, and nothing outside ever."""

import gzip
import io
import os
import random
import tarfile
import tracemalloc

import pytest

from data_pipelines.download import unpack as unpacking
from data_pipelines.download.unpack import Contents, Limits, unpack
from gmsdi_jax.errors import InputError, OutputError

LIMITS = Limits(members=100, size=10**6)
GOOD = {"set/a/one.wav": b"one" * 1000, "set/a/b/two.mid": b"", "set/three.yaml": b"x" * 512}


def member(name, data=b"", kind=tarfile.REGTYPE, **fields):
    """A header, and the bytes that follow it."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def pack(path, members, mode="w", form=tarfile.PAX_FORMAT):
    with tarfile.open(path, mode, format=form) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return path


def tree(root):
    """All that is below a folder: names, links' targets and contents."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                content = ("link", os.readlink(path))
            else:
                content = None if os.path.isdir(path) else open(path, "rb").read()  # noqa: SIM115
            found[os.path.relpath(path, root)] = content
    return found


def files(root):
    return {name: content for name, content in tree(root).items() if content is not None}


@pytest.fixture
def out(tmp_path):
    """The folder that unpacks go to, with a neighbour and an outside to be spared."""
    (tmp_path / "outside").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "neighbour").write_text("mine")
    return tmp_path / "out"


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_good_archive_comes_out_whole(out, mode, form):
    members = [member("set/", kind=tarfile.DIRTYPE)] + [member(*item) for item in GOOD.items()]
    archive = pack(out / "set.tar", members, mode, form)
    told = []
    contents = unpack(archive, out / "set", LIMITS, lambda *step: told.append(step))
    assert contents == Contents(3, 3512)
    assert files(out / "set") == {name.removeprefix("set/"): data for name, data in GOOD.items()}
    assert told[-1][0] == told[-1][1] == archive.stat().st_size
    assert sorted(os.listdir(out)) == ["neighbour", "set", "set.tar"]


def test_long_names_and_dots_and_repeated_folders_are_fine(out):
    deep = "/".join(["d" * 100] * 4) + "/" + "f" * 150
    members = [member(name, kind=tarfile.DIRTYPE) for name in (".", "./set", "./set/")]
    members.append(member(f"./set//{deep}", b"deep"))
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        unpack(pack(out / "x.tar", members, form=form), out / "set", LIMITS)
        assert files(out / "set") == {deep: b"deep"}
        os.rename(out / "set", out / f"was{form}")


def test_several_entries_go_into_the_folder(out):
    archive = pack(out / "x.tar", [member("a", b"1"), member("b/c", b"2")])
    unpack(archive, out / "set", LIMITS)
    assert files(out / "set") == {"a": b"1", "b/c": b"2"}


def test_owners_and_modes_are_not_taken_over(out):
    archive = pack(out / "x.tar", [member("set/run", b"#!", mode=0o6777, uid=1, gid=1)])
    unpack(archive, out / "set", LIMITS)
    found = (out / "set/run").stat()
    assert found.st_mode & 0o7111 == 0
    assert found.st_uid == os.getuid()


HOSTILE = {
    "absolute": [member("/tmp/gmsdi-was-here", b"x")],
    "absolute within": [member("set/a", b"x"), member("//set/b", b"x")],
    "drive": [member("C:/x", b"x")],
    "up": [member("../outside", b"x")],
    "up inside": [member("set/../../outside", b"x")],
    "up at the end": [member("set/..", kind=tarfile.DIRTYPE)],
    "backslashes": [member("set\\..\\..\\outside", b"x")],
    "control characters": [member("set/\x1b[2Jx", b"x")],
    "new line": [member("set/a\nb", b"x")],
    "not text": [member("set/\udcff", b"x")],
    "symbolic link": [member("set/l", kind=tarfile.SYMTYPE, linkname="a")],
    "link out, then through it": [
        member("set/l", kind=tarfile.SYMTYPE, linkname="../.."),
        member("set/l/outside", b"x"),
    ],
    "hard link": [member("set/a", b"x"), member("set/h", kind=tarfile.LNKTYPE, linkname="set/a")],
    "hard link out": [member("set/h", kind=tarfile.LNKTYPE, linkname="../outside")],
    "character device": [member("set/d", kind=tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "block device": [member("set/d", kind=tarfile.BLKTYPE, devmajor=8, devminor=0)],
    "pipe": [member("set/p", kind=tarfile.FIFOTYPE)],
    "contiguous": [member("set/c", b"x", kind=tarfile.CONTTYPE)],
    "unknown kind": [member("set/u", b"x", kind=b"Z")],
    "twice": [member("set/a", b"x"), member("set/a", b"y")],
    "twice by dots": [member("set/a", b"x"), member("./set/./a", b"y")],
    "file where a folder is": [member("set/a/b", b"x"), member("set/a", b"y")],
    "folder where a file is": [member("set/a", b"x"), member("set/a/b", b"y")],
    "folder entry where a file is": [member("set/a", b"x"), member("set/a", kind=tarfile.DIRTYPE)],
    "too many": [member(f"set/{n}", b"") for n in range(101)],
    "too many folders": [member(f"set/{n}", kind=tarfile.DIRTYPE) for n in range(101)],
    "too large": [member("set/a", bytes(600_000)), member("set/b", bytes(600_000))],
    "too deep": [member("/".join("abcdefghijklmnopq"), b"x")],
    "long name": [member("set/" + "x" * 256, b"x")],
    "no name": [member(".", b"x")],
    "nothing": [],
    "folders alone": [member("set/", kind=tarfile.DIRTYPE)],
}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(out, what, mode):
    archive = pack(out / "set.tar", [member("set/first", b"1"), *HOSTILE[what]][
        what in ("nothing", "folders alone"):], mode)  # fmt: skip
    before = tree(out.parent)
    with pytest.raises(InputError, match=r"^[^\n\x1b]*set\.tar: [^\n\x1b]*$") as refused:
        unpack(archive, out / "set", LIMITS)
    assert tree(out.parent) == before
    assert len(str(refused.value)) < 300 + len(str(out))
    assert not os.path.lexists("/tmp/gmsdi-was-here")


def test_a_link_as_the_hidden_folder_is_not_followed(out):
    """Only someone who can write beside the archive can put one there."""
    archive = pack(out / "set.tar", [member("set/a", b"x")])
    (out / ".set.unpacking").symlink_to(out.parent, target_is_directory=True)
    before = tree(out.parent)
    with pytest.raises(OutputError):
        unpack(archive, out / "set", LIMITS)
    assert tree(out.parent) == before


@pytest.mark.parametrize("there", ["folder", "file", "dangling link"])
def test_what_is_there_is_not_written_over(out, there):
    archive = pack(out / "x.tar", [member("set/a", b"x")])
    if there == "folder":
        (out / "set").mkdir()
        (out / "set/a").write_text("mine")
    elif there == "file":
        (out / "set").write_text("mine")
    else:
        (out / "set").symlink_to(out / "nowhere")
    before = tree(out.parent)
    with pytest.raises(InputError, match=r"set: is there already, and not from x\.tar"):
        unpack(archive, out / "set", LIMITS)
    assert tree(out.parent) == before


def holes(form):
    """A file of a terabyte of nothing, in a kilobyte of archive."""
    if form == "gnu":
        info, _ = member("set/holes", kind=tarfile.GNUTYPE_SPARSE)
        header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        header[483:495] = b"%011o\0" % 2**32  # the real size
        header[148:156] = b"        "
        header[148:156] = b"%06o\0 " % sum(header)
        return bytes(header)
    info, _ = member("set/holes", pax_headers={"GNU.sparse.size": str(2**40),
                                               "GNU.sparse.map": f"{2**40},0"})  # fmt: skip
    return info.tobuf(tarfile.PAX_FORMAT)


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_files_with_holes_are_refused(out, form):
    archive = out / "set.tar"
    archive.write_bytes(holes(form) + bytes(1024))
    with pytest.raises(InputError, match=r"'set/holes'|holes"):
        unpack(archive, out / "set", LIMITS)
    assert not (out / "set").exists()


@pytest.mark.parametrize("where", ["a file", "a header", "the padding"])
def test_a_bomb_is_stopped_early(out, where):
    """A thousand times its size; nothing of it is held in memory."""
    zeros = 2**26
    if where == "a file":
        raw = member("set/a", size=zeros)[0].tobuf() + bytes(zeros + 1024)
    elif where == "a header":
        raw = member("./PaxHeader", kind=tarfile.XHDTYPE, size=zeros)[0].tobuf() + bytes(zeros)
    else:
        raw = member("set/a")[0].tobuf() + bytes(zeros)
    archive = out / "set.tar.gz"
    archive.write_bytes(gzip.compress(raw, 1))
    del raw
    tracemalloc.start()
    with pytest.raises(InputError, match=r"refused: (unpacks to more than|a header of|its member)"):
        unpack(
            archive, out / "set", Limits(members=100, size=2**40 if where != "a file" else 10**6)
        )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6
    assert sorted(os.listdir(out)) == ["neighbour", "set.tar.gz"]


def test_the_ratio_bounds_a_file_too(out):
    archive = pack(out / "set.tar.gz", [member("set/a", bytes(2**25))], "w:gz")
    with pytest.raises(InputError, match="unpacks to more than 16777216 bytes"):
        unpack(archive, out / "set", Limits(members=100, size=2**40))


def damage(raw, how, draw):
    if how == "cut":
        return raw[: draw.randrange(len(raw))]
    if how == "flipped":
        place = draw.randrange(len(raw))
        return raw[:place] + bytes([raw[place] ^ 1 << draw.randrange(8)]) + raw[place + 1 :]
    if how == "zeros":
        place = draw.randrange(len(raw))
        return raw[:place] + bytes(min(512, len(raw) - place)) + raw[place + 512 :]
    return draw.randbytes(draw.randrange(1, 5000))


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("how", ["cut", "flipped", "zeros", "noise"])
def test_a_damaged_archive_gives_one_line_or_the_right_files(out, how, mode):
    """Every single one: no crash, nothing half done, and compressed ones are never believed."""
    draw = random.Random(f"{how} {mode}")
    content = {name: draw.randbytes(700) for name in GOOD}
    raw = pack(out / "good.tar", [member(*item) for item in content.items()], mode).read_bytes()
    (out / "good.tar").unlink()
    archive = out / "set.tar"
    whole = {name[4:]: data for name, data in content.items()}
    for _ in range(40):
        archive.write_bytes(damage(raw, how, draw))
        try:
            unpack(archive, out / "set", LIMITS)
        except InputError:
            assert sorted(os.listdir(out)) == ["neighbour", "set.tar"]
            continue
        found = files(out / "set")
        if mode == "w:gz":  # a flip in a field of its header that means nothing
            assert found == whole
        else:  # a tar alone does not protect the bytes of its files; their sizes and names it does
            sizes = {name: len(data) for name, data in found.items()}
            assert sizes == {name: len(data) for name, data in whole.items()}
        os.rename(out / "set", out.parent / f"was{draw.random()}")


@pytest.mark.parametrize("at", range(0, 6 * 512, 512))
def test_an_archive_that_ends_between_members_is_not_whole(out, at):
    raw = pack(out / "x.tar", [member(f"set/{n}", b"x" * 512) for n in range(3)]).read_bytes()
    archive = out / "set.tar"
    archive.write_bytes(raw[:at])
    with pytest.raises(InputError, match="damaged"):
        unpack(archive, out / "set", LIMITS)


def test_what_an_earlier_run_left_is_swept(out):
    archive = pack(out / "set.tar", [member("set/a", b"x")])
    (out / ".set.unpacking/set").mkdir(parents=True)
    (out / ".set.unpacking/set/half").write_text("")
    unpack(archive, out / "set", LIMITS)
    assert files(out) == {"neighbour": b"mine", "set.tar": archive.read_bytes(), "set/a": b"x"}


def test_the_folder_gets_its_name_last(out):
    archive = pack(out / "set.tar", [member("set/a", b"x")])
    seen = []
    unpack(archive, out / "set", LIMITS, before_move=lambda contents: seen.append(
        (contents, (out / "set").exists(), (out / ".set.unpacking/set/a").exists())))  # fmt: skip
    assert seen == [((1, 1), False, True)]


def test_a_full_disk_leaves_nothing(out, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    archive = pack(out / "set.tar", [member("set/a", b"x")])
    before = tree(out)
    monkeypatch.setattr(unpacking, "_write", full)
    with pytest.raises(OutputError, match="No space left"):
        unpack(archive, out / "set", LIMITS)
    assert tree(out) == before
