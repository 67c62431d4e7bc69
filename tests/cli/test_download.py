"""``gmsdi data download`` against a server on this machine, to its end and through kills."""

import dataclasses
import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import time

import pytest
from serving import serving

import gmsdi_jax.cli.data.download as command
from data_pipelines.download import Checksum, jamendo


def tar(members, mode="w"):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode=mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


AUDIO = random.Random(0).randbytes(1_000_000)
BABY = tar({"babyslakh_16k/Track00001/mix.wav": AUDIO}, "w:gz")
TARS = {number: tar({f"{number:02d}/{number}.low.mp3": AUDIO[:9999]}) for number in (0, 98, 99)}


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as site:
        yield site


@pytest.fixture
def baby(site, monkeypatch):
    """BabySlakh on the server, and its checksum in the catalogue."""
    site.put("babyslakh_16k.tar.gz", BABY)
    check = Checksum("md5", hashlib.md5(BABY).hexdigest())
    known = dataclasses.replace(command.ARCHIVES["babyslakh"], checksum=check)
    monkeypatch.setitem(command.ARCHIVES, "babyslakh", known)
    return site.files["babyslakh_16k.tar.gz"]


@pytest.fixture
def tracks(site, monkeypatch):
    """Three tars of Jamendo on the server, and lists that name them."""
    sums = "".join(
        f"{hashlib.sha256(data).hexdigest()} raw_30s_audio-low-{number:02d}.tar\n"
        for number, data in TARS.items()
    )
    contents = {path: f"list of {path}\n".encode() for path in jamendo.BLOBS}
    contents[jamendo.SUMS] = sums.encode()
    monkeypatch.setattr(jamendo, "BLOBS", {path: blob(data) for path, data in contents.items()})
    for path, data in contents.items():
        site.put(f"lists/{path}", data)
    for number, data in TARS.items():
        site.put(f"tars/raw_30s_audio-low-{number:02d}.tar", data)
    return ("--lists-mirror", f"{site.url}/lists", "--mirror", f"{site.url}/tars")


def test_babyslakh_to_the_folder_to_prepare(gmsdi, site, baby, tmp_path):
    out = tmp_path / "out"
    ran = gmsdi("data", "download", "babyslakh", out, "--mirror", site.url)
    assert (ran.code, ran.out) == (0, f"{out / 'babyslakh_16k'}\n")
    assert "CC BY 4.0" in ran.err.splitlines()[0]
    assert "md5 is right" in ran.err
    assert (out / "babyslakh_16k/Track00001/mix.wav").read_bytes() == AUDIO
    assert sorted(os.listdir(out)) == ["babyslakh_16k", "downloads.json"]
    ran = gmsdi("data", "download", "babyslakh", out, "--mirror", site.url, "-q")
    assert ran == (0, f"{out / 'babyslakh_16k'}\n", "")
    assert len(site.requests) == 1


def test_an_archive_alone(gmsdi, site, baby, tmp_path):
    ran = gmsdi("data", "download", "babyslakh", tmp_path, "--mirror", site.url, "--no-unpack")
    assert (ran.code, ran.out) == (0, f"{tmp_path}\n")
    assert (tmp_path / "babyslakh_16k.tar.gz").read_bytes() == BABY


def test_jamendo_brings_lists_and_the_parts_asked_for(gmsdi, site, tracks, tmp_path):
    flags = ("data", "download", "jamendo", tmp_path, *tracks)
    ran = gmsdi(*flags, "--metadata-only")
    assert (ran.code, ran.out) == (0, f"{tmp_path}\n")
    assert "CC BY-NC-SA 4.0" in ran.err
    assert (tmp_path / "data/splits/split-0/autotagging-test.tsv").exists()
    assert not list(tmp_path.glob("*.tar"))
    ran = gmsdi(*flags, "--parts", "0,98-99")
    assert ran.code == 0
    for number, data in TARS.items():
        assert (tmp_path / f"raw_30s_audio-low-{number:02d}.tar").read_bytes() == data
    assert not (tmp_path / "00").exists()
    assert len(site.requests) == 20 + 3
    ran = gmsdi(*flags, "--parts", "98", "--unpack")
    assert ran.code == 0
    assert (tmp_path / "98/98.low.mp3").read_bytes() == AUDIO[:9999]
    assert sorted(path.name for path in tmp_path.glob("*.tar")) == [
        "raw_30s_audio-low-00.tar", "raw_30s_audio-low-99.tar"
    ]  # fmt: skip


def test_what_fails_is_named_and_the_rest_comes(gmsdi, site, tracks, tmp_path):
    del site.files["lists/data/raw_30s.tsv"]
    site.put("tars/raw_30s_audio-low-98.tar", b"something else")
    flags = ("data", "download", "jamendo", tmp_path, *tracks, "--parts", "0,98,99")
    ran = gmsdi(*flags)
    assert (ran.code, ran.out) == (4, "")
    errors = [line for line in ran.err.splitlines() if line.startswith("gmsdi: error: ")]
    assert len(errors) == 2
    assert "lists/data/raw_30s.tsv: the server answers 404" in errors[0]
    found = hashlib.sha256(b"something else").hexdigest()
    wanted = hashlib.sha256(TARS[98]).hexdigest()
    assert f"raw_30s_audio-low-98.tar: sha256 is {found}, must be {wanted}: deleted" in errors[1]
    assert "2 could not be had, the others are there" in ran.err
    assert sorted(path.name for path in tmp_path.glob("*.tar*")) == [
        "raw_30s_audio-low-00.tar", "raw_30s_audio-low-99.tar"
    ]  # fmt: skip
    site.put("lists/data/raw_30s.tsv", b"list of data/raw_30s.tsv\n")
    assert gmsdi(*flags).code == 3
    site.put("tars/raw_30s_audio-low-98.tar", TARS[98])
    assert gmsdi(*flags).code == 0


def test_without_the_list_of_sums_there_are_no_tars(gmsdi, site, tracks, tmp_path):
    site.put(f"lists/{jamendo.SUMS}", b"forged")
    ran = gmsdi("data", "download", "jamendo", tmp_path, *tracks, "--parts", "0")
    assert ran.code == 3
    assert "git blob is" in ran.err
    assert not any(request.path.startswith("tars/") for request in site.requests)


def test_retries_are_said_once_each(gmsdi, site, baby, tmp_path):
    baby.drops[:] = [300_000]
    ran = gmsdi("data", "download", "babyslakh", tmp_path, "--mirror", site.url)
    assert ran.code == 0
    lines = [line for line in ran.err.splitlines() if "try 2 of 8" in line]
    assert len(lines) == 1
    assert lines[0].startswith("babyslakh_16k.tar.gz: the connection was closed ")
    assert lines[0].endswith(" bytes early; try 2 of 8 in 1 s")


def test_no_server_is_code_4(gmsdi, site, baby, tmp_path):
    baby.always_drop = 10
    ran = gmsdi("data", "download", "babyslakh", tmp_path, "--mirror", site.url, "--tries", 1)
    assert ran.code == 4
    assert "the same command goes on from 0.0 MB" in ran.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("slakh", "x", "--parts", "3"), "--parts is for jamendo, not slakh"),
        (("slakh", "x", "--metadata-only"), "--metadata-only is for jamendo"),
        (("babyslakh", "x", "--unpack"), "--unpack is for jamendo"),
        (("slakh", "x", "--mirror", "cdn"), "--mirror 'cdn': give an address"),
        (("jamendo", "x", "--mirror", "ftp://host/x"), "give an address such as https://"),
        (("jamendo", "x", "--mirror", "https:///x"), "give an address"),
        (("jamendo", "x", "--lists-mirror", "mtg"), "--lists-mirror 'mtg': give an address"),
        (("slakh", "x", "--parts", ""), "--parts is for jamendo"),
        (("jamendo", "x", "--parts", ""), "--parts '': give numbers and ranges"),
        (("jamendo", "x", "--parts", "98-100"), "--parts 98-100: tars go from 0 to 99"),
        (("jamendo", "x", "--unpack", "--no-unpack"), "take one of them"),
        (("jamendo", "x", "--metadata-only", "--parts", "1"), "leave out --parts"),
        (("slakh", "x", "--tries", "0"), "must be positive"),
        (("slakh", "x", "--timeout", "-1"), "must be positive"),
    ],
)
def test_contradictions_are_one_line(gmsdi, arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = gmsdi("data", "download", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


RUN = """
import dataclasses, sys
import gmsdi_jax.cli.data.download as command
from data_pipelines.download import Checksum
from gmsdi_jax.cli import main

known = command.ARCHIVES["babyslakh"]
check = Checksum("md5", sys.argv.pop(1))
command.ARCHIVES["babyslakh"] = dataclasses.replace(known, checksum=check)
sys.exit(main())
"""


@pytest.fixture
def start(site, baby):
    """Starts the command as a process of its own, on a server that does not come to the end."""
    processes = []

    def run(out):
        md5 = command.ARCHIVES["babyslakh"].checksum.value
        flags = ["data", "download", "babyslakh", str(out), "--mirror", site.url]
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, md5, *flags], stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
        return process

    baby.pace, baby.stall_after = (10_000, 0.005), 500_000
    yield run
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(part, size, process):
    """Until so many bytes are there, or the process has ended."""
    until = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < until:
        if part.exists() and part.stat().st_size >= size:
            return
        time.sleep(0.002)


def test_killed_at_random_bytes_the_file_is_the_same(gmsdi, site, baby, start, tmp_path):
    """kill -9, five times; what was there is not fetched again, and the end is whole."""
    part = tmp_path / "babyslakh_16k.tar.gz.part"
    draw, sizes = random.Random(1), [0]
    for _ in range(5):
        baby.stall_after = 950_000 - sizes[-1]
        process = start(tmp_path)
        wait_for(part, sizes[-1] + draw.randrange(1, 150_000), process)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        sizes.append(part.stat().st_size)
    baby.pace = baby.stall_after = None
    ran = gmsdi("data", "download", "babyslakh", tmp_path, "--mirror", site.url, "--keep-archive")
    assert ran.code == 0
    assert (tmp_path / "babyslakh_16k.tar.gz").read_bytes() == BABY
    assert (tmp_path / "babyslakh_16k/Track00001/mix.wav").read_bytes() == AUDIO
    assert [request.range for request in site.requests] == [
        None, *(f"bytes={size}-" for size in sizes[1:])
    ]  # fmt: skip


def test_ctrl_c_leaves_what_can_be_gone_on_with(gmsdi, site, baby, start, tmp_path):
    part = tmp_path / "babyslakh_16k.tar.gz.part"
    process = start(tmp_path)
    wait_for(part, 300_000, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said.splitlines()[-2:] == [
        "stopped: the same command goes on where it was", "gmsdi: interrupted"
    ]  # fmt: skip
    size = part.stat().st_size
    baby.pace = baby.stall_after = None
    assert gmsdi("data", "download", "babyslakh", tmp_path, "--mirror", site.url).code == 0
    assert site.requests[-1].range == f"bytes={size}-"


def test_two_commands_do_not_write_into_each_other(gmsdi, site, start, tmp_path):
    process = start(tmp_path)
    wait_for(tmp_path / "babyslakh_16k.tar.gz.part", 10_000, process)
    ran = gmsdi("data", "download", "babyslakh", tmp_path, "--mirror", site.url)
    assert ran.code == 74
    assert "another gmsdi data download is at work here" in ran.err
    assert len(site.requests) == 1
