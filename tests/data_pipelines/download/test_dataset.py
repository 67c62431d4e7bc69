"""A data set to its end: brought once, verified, unpacked, remembered, whatever happens."""

import dataclasses
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

import pytest

from data_pipelines.download import (
    Archive,
    Checksum,
    ConnectionLostError,
    Limits,
    RemoteFile,
    Told,
    Wishes,
    fetch,
)
from data_pipelines.download.checksums import checksum
from data_pipelines.download.ledger import alone_in, read_ledger
from gmsdi_jax.errors import InputError, OutputError, UnavailableError


def sha256(data):
    return Checksum("sha256", hashlib.sha256(data).hexdigest())


@pytest.fixture
def packed():
    """An archive of two files."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, data in {"set/a.wav": b"a" * 5000, "set/b/c.mid": b"c"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return raw.getvalue()


@pytest.fixture
def offer(site):
    """Puts a file on the server; gives what is known of it."""

    def put(path, data, archive=None, check=None, **how):
        site.put(path, data, **how)
        return RemoteFile(path, f"{site.url}/{path}", check or sha256(data), len(data), archive)

    return put


@pytest.fixture
def archive(offer, packed):
    return offer("set.tar.gz", packed, Archive("set", 5001, Limits(members=10, size=10_000)))


class Ears:
    """Remembers what was told."""

    def __init__(self):
        self.notes, self.errors, self.stages = [], [], []

    @property
    def told(self):
        return Told(self._progress, self.notes.append, self.errors.append)

    def _progress(self, stage, done, total):
        if not self.stages or self.stages[-1] != stage:
            self.stages.append(stage)


@pytest.fixture
def bring(tmp_path, patience):
    """Brings files to a folder; gives what failed, and what was told."""

    def run(*files, **wishes):
        ears = Ears()
        failed = fetch(files, tmp_path / "out", Wishes(patience=patience, **wishes), ears.told)
        return failed, ears

    return run


def test_checksums_are_the_known_ones(tmp_path):
    """Of git's empty content and of the text in its book; of RFC 1321; of FIPS 180."""
    path = tmp_path / "x"
    for data, kind, value in [
        (b"", "git blob", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
        (b"what is up, doc?", "git blob", "bd9dbf5aae1a3862dd1526723246b20206e5fc37"),
        (b"abc", "md5", "900150983cd24fb0d6963f7d28e17f72"),
        (b"abc", "sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ]:
        path.write_bytes(data)
        assert checksum(path, kind) == (kind, value)


def test_files_come_and_a_second_run_does_nothing(site, offer, bring, data, tmp_path):
    files = [offer("one.tar", data), offer("data/deep/list.tsv", b"list\n")]
    failed, ears = bring(*files)
    assert not failed
    assert (tmp_path / "out/one.tar").read_bytes() == data
    assert (tmp_path / "out/data/deep/list.tsv").read_bytes() == b"list\n"
    assert ears.notes == ["one.tar: 1.2 MB, sha256 is right",
                          "data/deep/list.tsv: 0.0 MB, sha256 is right"]  # fmt: skip
    assert ears.stages[:2] == ["one.tar", "checking one.tar"]
    left = {path.name for path in (tmp_path / "out").rglob("*")}
    assert left == {"one.tar", "data", "deep", "list.tsv", "downloads.json"}
    site.requests.clear()
    failed, ears = bring(*files)
    assert (failed, ears.notes, ears.stages, site.requests) == ({}, [], [], [])


def test_a_wrong_file_is_named_and_deleted_and_the_others_come(offer, bring, data, tmp_path):
    wrong = offer("wrong.tar", data, check=sha256(b"other"))
    failed, ears = bring(wrong, offer("right.tar", b"right"))
    assert list(failed) == ["wrong.tar"]
    assert ears.errors == list(failed.values())
    assert isinstance(failed["wrong.tar"], InputError)
    message = str(failed["wrong.tar"])
    assert message == (
        f"wrong.tar: sha256 is {sha256(data).value}, must be {sha256(b'other').value}: deleted "
        f"what came from {wrong.url}; run again, or take another --mirror"
    )
    assert sorted(os.listdir(tmp_path / "out")) == ["downloads.json", "right.tar"]


def test_a_stitched_file_is_caught_by_its_checksum(site, offer, bring, data, tmp_path):
    """A server without any validators changes the file under its hands; the second run is right."""
    old = data[::-1]
    file = offer("one.tar", data)
    site.put("one.tar", old, etag=None, drops=[300_000],
             after_request=lambda served: setattr(served, "data", data))  # fmt: skip
    failed, _ = bring(file)
    stitched = old[:300_000] + data[300_000:]
    assert f"sha256 is {sha256(stitched).value}, must be" in str(failed["one.tar"])
    assert not (tmp_path / "out/one.tar").exists()
    assert bring(file)[0] == {}
    assert (tmp_path / "out/one.tar").read_bytes() == data


def test_a_missing_file_is_named_and_the_others_come(site, offer, bring):
    lost, right = offer("lost.tar", b""), offer("right.tar", b"right")
    del site.files["lost.tar"]
    failed, _ = bring(lost, right)
    assert isinstance(failed["lost.tar"], UnavailableError)
    assert f"{lost.url}: the server answers 404" in str(failed["lost.tar"])
    assert site.asked("right.tar")


def test_without_a_server_it_stops_at_once(site, offer, bring, data, tmp_path):
    file, other = offer("one.tar", data, always_drop=100_000, ranges=False), offer("two.tar", b"2")
    with pytest.raises(ConnectionLostError):
        bring(file, other)
    assert not site.asked("two.tar")
    site.put("one.tar", data)
    assert not bring(file, other)[0]
    assert (tmp_path / "out/one.tar").read_bytes() == data
    assert site.asked("one.tar")[-1].range == "bytes=100000-"


def test_a_touched_file_is_hashed_again_not_fetched(site, offer, bring, data, tmp_path):
    file = offer("one.tar", data)
    bring(file)
    os.utime(tmp_path / "out/one.tar", ns=(1, 1))
    site.requests.clear()
    failed, ears = bring(file)
    assert (failed, ears.stages, site.requests) == ({}, ["checking one.tar"], [])
    assert bring(file)[1].stages == []


def test_a_file_from_elsewhere_is_adopted(site, offer, bring, data, tmp_path):
    """As after a kill between its name and the record of it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/one.tar").write_bytes(data)
    assert not bring(offer("one.tar", data))[0]
    assert not site.requests


def test_a_wrong_file_that_is_there_is_left_to_its_owner(site, offer, bring, data, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/one.tar").write_bytes(b"mine")
    failed, _ = bring(offer("one.tar", data))
    assert "delete it, or move it away" in str(failed["one.tar"])
    assert (tmp_path / "out/one.tar").read_bytes() == b"mine"
    assert not site.requests


def test_verify_finds_damage_that_kept_size_and_date(offer, bring, data, tmp_path):
    file = offer("one.tar", data)
    bring(file)
    path = tmp_path / "out/one.tar"
    date = path.stat().st_mtime_ns
    path.write_bytes(b"X" + data[1:])
    os.utime(path, ns=(date, date))
    assert not bring(file)[0]  # the record is trusted
    failed, _ = bring(file, verify=True)
    assert "sha256 is" in str(failed["one.tar"])


def test_another_checksum_is_another_file(site, offer, bring, data, tmp_path):
    """A publisher's new version is not taken for the old one that is there."""
    bring(offer("one.tar", data))
    assert list(bring(offer("one.tar", data + b"new"))[0]) == ["one.tar"]


def test_an_archive_becomes_a_folder_and_goes(site, archive, bring, tmp_path):
    out = tmp_path / "out"
    failed, ears = bring(archive, unpack=True)
    assert not failed
    assert ears.notes[-1] == "set: 2 files, 0.0 MB"
    assert (out / "set/a.wav").read_bytes() == b"a" * 5000
    assert sorted(os.listdir(out)) == ["downloads.json", "set"]
    site.requests.clear()
    failed, ears = bring(archive, unpack=True)
    assert (failed, ears.stages, site.requests) == ({}, [], [])
    assert bring(archive, unpack=True, verify=True)[0] == {}
    (out / "set/a.wav").write_bytes(b"cut")
    failed, _ = bring(archive, unpack=True, verify=True)
    assert "set: holds 2 files of 4 bytes, the archive 2 of 5001" in str(failed["set.tar.gz"])


def test_an_archive_that_is_kept_stays_kept(site, archive, bring, tmp_path):
    bring(archive, unpack=True, keep_archive=True)
    bring(archive, unpack=True)
    assert sorted(os.listdir(tmp_path / "out")) == ["downloads.json", "set", "set.tar.gz"]
    assert len(site.requests) == 1


def test_an_archive_alone_can_be_unpacked_later(site, archive, bring, tmp_path):
    bring(archive)
    assert sorted(os.listdir(tmp_path / "out")) == ["downloads.json", "set.tar.gz"]
    bring(archive, unpack=True)
    assert sorted(os.listdir(tmp_path / "out")) == ["downloads.json", "set"]
    assert len(site.requests) == 1


def test_an_archive_that_was_unpacked_is_not_brought_for_nothing(site, archive, bring, tmp_path):
    bring(archive, unpack=True)
    failed, ears = bring(archive)
    assert (failed, len(site.requests)) == ({}, 1)
    assert ears.notes == ["set.tar.gz: is unpacked in set, and not brought again"]
    assert not (tmp_path / "out/set.tar.gz").exists()


def test_a_record_that_leads_elsewhere_is_not_followed(archive, bring, tmp_path):
    bring(archive, unpack=True)
    record = tmp_path / "out/downloads.json"
    record.write_text(record.read_text().replace('"folder": "set"', '"folder": "../mine"'))
    (tmp_path / "mine").mkdir()
    (tmp_path / ".mine.unpacking").mkdir()
    (tmp_path / "out/set").rename(tmp_path / "out/elsewhere")
    assert not bring(archive, unpack=True)[0]
    assert (tmp_path / ".mine.unpacking").exists()
    assert (tmp_path / "out/set/a.wav").exists()


def test_a_folder_that_was_removed_comes_again(site, archive, bring, tmp_path):
    bring(archive, unpack=True)
    (tmp_path / "out/set").rename(tmp_path / "elsewhere")
    bring(archive, unpack=True)
    assert (tmp_path / "out/set/a.wav").exists()
    assert len(site.requests) == 2


def test_a_hostile_archive_is_kept_out(offer, bring, tmp_path):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../outside"))
    limits = Limits(members=10, size=10_000)
    failed, _ = bring(offer("set.tar", raw.getvalue(), Archive("set", 0, limits)), unpack=True)
    assert "set.tar: refused: its member '../outside' leads out" in str(failed["set.tar"])
    assert sorted(os.listdir(tmp_path)) == ["out"]
    assert sorted(os.listdir(tmp_path / "out")) == ["downloads.json", "set.tar"]


KILLED = """
import os, sys
import data_pipelines.download.dataset as module
from pathlib import Path
from data_pipelines.download import Archive, Checksum, Limits, RemoteFile, Wishes

place, out, url, value, size = sys.argv[1:]

def die(*arguments, **more):
    os.kill(os.getpid(), 9)

def then_die(function):
    return lambda *arguments, **more: (function(*arguments, **more), die())

ledger = module.Ledger
if place == "file without its name":
    module.checksum = then_die(module.checksum)
elif place == "name without its record":
    ledger.add_file = die
elif place == "files without their folder":
    ledger.add_unpacked = die
elif place == "record without its folder":
    ledger.add_unpacked = then_die(ledger.add_unpacked)
else:
    Path.rename = then_die(Path.rename)
limits = Limits(members=10, size=10_000)
file = RemoteFile("set.tar.gz", url, Checksum("sha256", value), int(size),
                  Archive("set", 5001, limits))
module.fetch([file], Path(out), Wishes(unpack=True))
"""


@pytest.mark.parametrize(
    ("place", "left"),
    [
        ("file without its name", ["set.tar.gz.part", "set.tar.gz.part.json"]),
        ("name without its record", ["set.tar.gz"]),
        ("files without their folder", [".set.unpacking", "downloads.json", "set.tar.gz"]),
        ("record without its folder", [".set.unpacking", "downloads.json", "set.tar.gz"]),
        ("folder without more", [".set.unpacking", "downloads.json", "set", "set.tar.gz"]),
    ],
)
def test_killed_at_every_step_it_goes_on(site, archive, bring, tmp_path, place, left):
    """kill -9 right before or after each thing that is written; the end is always the same."""
    out = tmp_path / "out"
    arguments = [place, out, archive.url, archive.checksum.value, archive.size]
    ran = subprocess.run([sys.executable, "-c", KILLED, *map(str, arguments)], check=False)
    assert ran.returncode == -9
    assert sorted(os.listdir(out)) == left
    assert not bring(archive, unpack=True)[0]
    assert sorted(os.listdir(out)) == ["downloads.json", "set"]
    assert (out / "set/a.wav").read_bytes() == b"a" * 5000
    assert (out / "set/b/c.mid").read_bytes() == b"c"
    assert len(site.requests) == 1


def test_room_is_asked_for_before_the_start(site, offer, archive, bring, data):
    """With what is there taken off, and what is unpacked put on."""
    huge = dataclasses.replace(offer("one.tar", data), size=2**50)
    with pytest.raises(OutputError, match=r"out: needs 1048576\.0 GiB, has [\d.]+ GiB: make room"):
        bring(huge)
    large = dataclasses.replace(archive, archive=Archive("set", 2**50, archive.archive.limits))
    with pytest.raises(OutputError, match=r"needs 1048576\.0 GiB"):
        bring(large, unpack=True)
    assert not site.requests
    bring(large)
    assert not bring(dataclasses.replace(archive, size=2**50))[0]  # it is there


def test_two_at_once_are_not_let(offer, bring, data, tmp_path):
    with alone_in(tmp_path / "out"), pytest.raises(OutputError, match="another gmsdi data downl"):
        bring(offer("one.tar", data))
    assert not bring(offer("one.tar", data))[0]


def test_a_file_as_the_folder_is_named(offer, bring, data, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="out: cannot be used"):
        bring(offer("one.tar", data))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"format": 2}', '{"format": 1, "files": {"a": {}}}',
             '{"format": 1, "files": {}, "unpacked": {"a": 3}}', "[" * 10**5, "\udcff"]
)  # fmt: skip
def test_a_damaged_record_is_named(bring, offer, data, tmp_path, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/downloads.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=r"downloads\.json cannot be used .*: delete it"):
        bring(offer("one.tar", data))


def test_the_record_is_readable(bring, offer, archive, data, tmp_path):
    bring(offer("one.tar", data), archive, unpack=True)
    fields = json.loads((tmp_path / "out/downloads.json").read_text())
    assert fields["format"] == 1
    assert fields["files"]["one.tar"]["checksum"] == str(sha256(data))
    assert fields["unpacked"]["set.tar.gz"] == {
        "checksum": str(archive.checksum), "folder": "set", "files": 2, "bytes": 5001,
        "keep_archive": False,
    }  # fmt: skip
    assert read_ledger(tmp_path / "out").whole("set.tar.gz", archive.checksum)
