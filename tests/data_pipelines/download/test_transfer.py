"""A file over HTTP, from servers that do all that servers do to make it fail."""

import contextlib
import dataclasses
import random
import shutil
import socket
import threading
import time

import pytest

from data_pipelines.download.transfer import ConnectionLostError, Patience, transfer
from gmsdi_jax.errors import ConfigError, OutputError, UnavailableError


@pytest.fixture
def bring(site, patience, tmp_path):
    """Brings ``file`` from the server; gives the bytes, and the notes that were made."""

    def run(path="file", **changes):
        notes = []
        part = tmp_path / "file.part"
        patient = dataclasses.replace(patience, **changes)
        transfer(f"{site.url}/{path}", part, patient, on_note=notes.append)
        return part.read_bytes(), notes

    return run


def test_a_file_comes_as_it_is(site, bring, data):
    site.put("file", data)
    assert bring() == (data, [])
    (request,) = site.requests
    assert request.range is None
    assert request.agent.startswith("gmsdi-jax/")


def test_progress_counts_the_bytes(site, patience, data, tmp_path):
    site.put("file", data)
    seen = []
    transfer(f"{site.url}/file", tmp_path / "p", patience, lambda *step: seen.append(step))
    assert seen == sorted(seen)
    assert seen[-1] == (len(data), len(data))


@pytest.mark.parametrize("seed", range(4))
def test_broken_connections_cost_no_byte_twice(site, bring, data, seed):
    """Cut at random places, by an early end or by a reset."""
    draw = random.Random(seed)
    drops = [draw.randrange(1, 300_000) for _ in range(6)]
    site.put("file", data, drops=drops.copy(), reset=seed % 2 == 1)
    got, notes = bring(tries=8)
    assert got == data
    assert len(site.requests) == len(drops) + 1 == len(notes) + 1
    assert all(note.startswith("file: ") and "; try " in note for note in notes)
    assert all(request.if_range == '"one"' for request in site.requests[1:])
    if seed % 2 == 0:  # a reset may lose what was sent
        assert sum(request.sent for request in site.requests) == len(data)
        starts = [sum(drops[:count]) for count in range(1, len(drops) + 1)]
        assert [r.range for r in site.requests[1:]] == [f"bytes={start}-" for start in starts]


def test_drops_within_the_first_bytes_are_counted(site, bring, data):
    """A server that sends ten bytes per connection is not asked for ever."""
    site.put("file", data, always_drop=10)
    with pytest.raises(ConnectionLostError, match=r"bytes early, 4 times in a row: the same"):
        bring()
    assert len(site.requests) == 4


def test_a_server_without_ranges_starts_over(site, bring, data):
    site.put("file", data, ranges=False, drops=[500_000, 200_000])
    got, notes = bring()
    assert got == data
    assert sum("from the beginning" in note for note in notes) == 2


def test_a_server_without_ranges_that_always_breaks_is_given_up(site, bring, data):
    """Every try brings bytes, but none after the first brings new ones."""
    site.put("file", data, ranges=False, always_drop=500_000)
    with pytest.raises(ConnectionLostError):
        bring()
    assert len(site.requests) == 4


NEW = {
    "etag": {"etag": '"two"'},
    "date": {"etag": None, "modified": "Tue, 02 Jan 2024 00:00:00 GMT"},
    "ignored condition": {"etag": '"two"', "heeds_if_range": False},
    "size alone": {"etag": None, "modified": None},
    "weak etag": {"etag": 'W/"two"'},
}


@pytest.mark.parametrize("how", NEW)
def test_a_file_that_changes_between_tries_is_not_stitched(site, bring, data, how):
    other = data[::-1][: len(data) - (how == "size alone")]

    def change(file):
        file.data = other
        for name, value in NEW[how].items():
            setattr(file, name, value)

    old = {name: value for name, value in NEW[how].items() if name == "heeds_if_range"}
    if how == "date":
        old = {"etag": None, "modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    elif how == "size alone":
        old = {"etag": None}
    elif how == "weak etag":
        old = {"etag": 'W/"one"'}
    site.put("file", data, drops=[300_000], after_request=change, **old)
    got, notes = bring()
    assert got == other
    assert "from the beginning" in notes[-1]


def test_another_mirror_goes_on_with_the_same_file(site, bring, data):
    """Its ETag is another and says nothing; the length must be the same."""
    site.put("file", data, always_drop=400_000)
    with pytest.raises(ConnectionLostError):
        bring(tries=1)
    site.put("mirror", data, etag='"elsewhere"')
    assert bring("mirror") == (data, [])
    assert site.requests[-1].range == "bytes=400000-"
    assert site.requests[-1].if_range is None


def test_another_mirror_with_a_longer_file_is_not_gone_on_with(site, bring, data):
    site.put("file", data, always_drop=400_000)
    with pytest.raises(ConnectionLostError):
        bring(tries=1)
    site.put("mirror", data + b"more")
    got, notes = bring("mirror")
    assert got == data + b"more"
    assert "from the beginning" in notes[0]


def test_a_file_that_shrank_is_taken_anew(site, bring, data):
    site.put("file", data, etag=None, drops=[900_000],
             after_request=lambda file: setattr(file, "data", data[:1000]))  # fmt: skip
    assert bring()[0] == data[:1000]


@pytest.mark.parametrize("notes", [None, "{", '{"url": 1, "more": 2}', "[]", '{"total": 3}'])
def test_bytes_of_unknown_origin_are_not_gone_on_with(site, bring, data, tmp_path, notes):
    site.put("file", data)
    (tmp_path / "file.part").write_bytes(b"what is this")
    if notes is not None:
        (tmp_path / "file.part.json").write_text(notes)
    assert bring()[0] == data
    assert site.requests[0].range is None


def test_a_complete_part_is_not_asked_for_again(site, bring, data):
    site.put("file", data)
    bring()
    assert bring() == (data, [])
    assert len(site.requests) == 1


@pytest.mark.parametrize("status", [404, 403, 401, 410, 204])
def test_what_is_refused_for_good_is_asked_once(site, bring, status):
    site.put("file", b"", statuses=[(status, {})] * 9)
    with pytest.raises(UnavailableError, match=rf"{site.url}/file: the server answers {status}"):
        bring()
    assert len(site.requests) == 1


def test_errors_that_pass_are_waited_for(site, bring, data):
    site.put("file", data, statuses=[(500, {}), (503, {"Retry-After": "7"}), (429, {})])
    got, notes = bring()
    assert got == data
    assert [note.split(";")[0] for note in notes] == [
        "file: the server answers 500 Internal Server Error",
        "file: the server answers 503 Service Unavailable",
        "file: the server answers 429 Too Many Requests",
    ]


def test_waits_double_up_to_a_bound():
    patience = Patience(first_wait=1, longest_wait=60)
    assert [patience.wait(n, 0) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert patience.wait(1, asked=20) == 20
    assert patience.wait(1, asked=float("1" + "0" * 400)) == patience.wait(10**9, 0) == 60


def test_tries_are_bounded(site, bring):
    site.put("file", b"", statuses=[(502, {})] * 99)
    with pytest.raises(ConnectionLostError, match="502 Bad Gateway, 4 times in a row"):
        bring()
    assert len(site.requests) == 4


def test_redirections_are_followed(site, bring, data):
    site.put("file", b"", redirect="/elsewhere/file")
    site.put("elsewhere/file", data, drops=[300_000])
    assert bring()[0] == data
    assert site.requests[-1].range == "bytes=300000-"


@pytest.mark.parametrize(
    "where", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x", "/file", "http://[", "//"]
)
def test_redirections_lead_nowhere_else(site, bring, tmp_path, where):
    """Only to http and https, and not in circles."""
    site.put("file", b"", redirect=where)
    with pytest.raises((UnavailableError, ConnectionLostError)):
        bring()
    assert not list(tmp_path.iterdir())


def test_a_trickle_counts_as_broken(site, bring, data):
    site.put("file", data, pace=(100, 0.02))
    started = time.monotonic()
    with pytest.raises(ConnectionLostError, match=r"only \d+ bytes in 0 s"):
        bring(tries=2, timeout=0.2, slowest=20_000)
    assert time.monotonic() - started < 3


def test_a_connection_that_stalls_counts_as_broken(site, bring, data, tmp_path):
    site.put("file", data, stall_after=500_000)
    got, notes = bring(tries=2, timeout=0.2)
    assert got == data
    assert notes == ["file: timed out; try 2 of 2 in 0 s"] * 2
    assert [r.range for r in site.requests] == [None, "bytes=500000-", "bytes=1000000-"]
    site.put("silent", data, stall_after=0)
    (tmp_path / "file.part").unlink()
    with pytest.raises(ConnectionLostError, match="timed out, 2 times in a row"):
        bring("silent", tries=2, timeout=0.2)


def test_a_length_that_is_too_large_is_noticed(site, bring, data, tmp_path):
    site.put("file", data, length=len(data) + 5)
    with pytest.raises(ConnectionLostError, match="closed 5 bytes early"):
        bring(tries=1)
    assert (tmp_path / "file.part").stat().st_size == len(data)


def test_no_more_is_taken_than_was_announced(site, bring, data):
    site.put("file", data, length=1000)
    assert bring()[0] == data[:1000]


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_a_body_of_unknown_length_ends_where_it_ends(site, bring, data, framing):
    site.put("file", data, framing=framing)
    assert bring()[0] == data


def test_a_chunked_body_that_is_cut_off_is_noticed(site, bring, data):
    site.put("file", data, framing="chunked", drops=[500_000])
    got, notes = bring()
    assert got == data
    assert len(notes) == 1


@pytest.mark.parametrize(
    "place", ["bytes 5-9/1234567", "bytes 300000-9/*9", "bytes */9", "nonsense", "bytes 1-2/3/4"]
)
def test_a_part_that_was_not_asked_for_is_not_taken(site, bring, data, place):
    site.put("file", data, drops=[300_000], content_range=place)
    got, notes = bring()
    assert got == data
    assert site.requests[-1].range is None
    assert "from the beginning" in notes[-1]


def test_no_server_is_said_after_all_tries(patience, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
        with pytest.raises(ConnectionLostError, match="refused, 4 times in a row"):
            transfer(url, tmp_path / "file.part", patience)


NONSENSE = [
    b"",
    b"\0" * 100_000,
    b"SSH-2.0-OpenSSH\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"9" * 70_000,
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
    b"HTTP/1.1 206 Partial Content\r\n\r\n",
    b"HTTP/1.1 302 Found\r\n\r\n",
]


@pytest.mark.parametrize("words", NONSENSE, ids=range(len(NONSENSE)))
def test_a_server_that_talks_nonsense_is_no_crash(patience, tmp_path, words):
    def answer():
        with contextlib.suppress(OSError):  # the listener is closed at the end
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(9999)
                    connection.sendall(words)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/file"
        part = tmp_path / "file.part"
        if b"-7" in words:  # no length: the body ends with the connection
            transfer(url, part, patience)
            assert part.read_bytes() == b""
        else:
            with pytest.raises(UnavailableError, match=url):
                transfer(url, part, patience)


def test_a_full_disk_is_said_before_a_byte_is_written(site, bring, data, tmp_path, monkeypatch):
    site.put("file", data)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match=r"needs 0\.0 GiB, has 0\.0 GiB: make room"):
        bring()
    assert (tmp_path / "file.part").stat().st_size == 0


def test_a_place_that_cannot_be_written_is_named(site, patience, data, tmp_path):
    site.put("file", data)
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="taken"):
        transfer(f"{site.url}/file", tmp_path / "taken" / "file.part", patience)


def test_patience_is_positive():
    for wrong in ({"tries": 0}, {"timeout": 0}):
        with pytest.raises(ConfigError, match="positive"):
            Patience(**wrong)
