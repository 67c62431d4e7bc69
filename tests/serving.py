"""A web server on this machine that misbehaves on order, one `File` per path.

It does what real servers do: ranges with ``If-Range`` and validators, redirections, errors that
pass, and all that makes downloads fail: connections that break, stall or trickle, ranges that are
ignored, lengths that are not true, files that change.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass
class File:
    """What is at a path, and how it is sent. All of it may be changed between two requests."""

    data: bytes
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    heeds_if_range: bool = True
    """False: a range is answered whatever the condition."""
    drops: list[int] = field(default_factory=list)
    """Body bytes after which each of the next requests is cut off."""
    always_drop: int | None = None
    reset: bool = False
    """Whether a drop is a reset (RST) rather than an early end (FIN)."""
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """What the next requests are answered with instead, status and headers."""
    redirect: str | None = None
    length: int | None = None
    """A Content-Length that is not true."""
    content_range: str | None = None
    """A Content-Range that is not true."""
    framing: str = "length"
    """Or "chunked", or "close" (the body ends with the connection)."""
    pace: tuple[int, float] | None = None
    """Bytes at a time, and seconds between."""
    stall_after: int | None = None
    """Bytes after which nothing comes any more."""
    after_request: Callable[[Self], None] = lambda self: None


@dataclass
class Request:
    """One request that came, and how many body bytes were sent for it."""

    path: str
    range: str | None
    if_range: str | None
    agent: str
    sent: int = 0


@dataclass
class Site:
    """The files of a running server, and what was asked of it."""

    url: str
    files: dict[str, File] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def put(self, path: str, data: bytes, **how) -> File:
        """Serves a file at a path, without a leading slash."""
        self.files[path] = File(data, **how)
        return self.files[path]

    def asked(self, path: str) -> list[Request]:
        """The requests for a path."""
        return [request for request in self.requests if request.path == path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        """Answers as the file says."""
        self.close_connection = True
        path = self.path.lstrip("/")
        asked = (self.headers.get(name) for name in ("Range", "If-Range", "User-Agent"))
        request = Request(path, *asked)  # type: ignore[arg-type]
        self.site.requests.append(request)
        file = self.site.files.get(path)
        if file is None:
            self._say(404, {})
        elif file.statuses:
            self._say(*file.statuses.pop(0))
        elif file.redirect:
            self._say(302, {"Location": file.redirect})
        else:
            self._send(file, request)
            file.after_request(file)

    def _say(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, file: File, request: Request) -> None:
        start = 0
        condition = request.if_range
        fresh = condition is None or not file.heeds_if_range
        if request.range and file.ranges and (fresh or condition in (file.etag, file.modified)):
            start = int(request.range.removeprefix("bytes=").removesuffix("-"))
        if start >= len(file.data) > 0:
            self._say(416, {"Content-Range": f"bytes */{len(file.data)}"})
            return
        body = file.data[start:]
        self.send_response(206 if start else 200)
        if start:
            place = f"bytes {start}-{len(file.data) - 1}/{len(file.data)}"
            self.send_header("Content-Range", file.content_range or place)
        for name, value in (("ETag", file.etag), ("Last-Modified", file.modified)):
            if value:
                self.send_header(name, value)
        if file.framing == "length":
            length = len(body) if file.length is None else file.length
            self.send_header("Content-Length", str(length))
        elif file.framing == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._body(file, request, body)

    def _body(self, file: File, request: Request, body: bytes) -> None:
        drop = file.drops.pop(0) if file.drops else file.always_drop
        step, pause = file.pace or (2**16, 0.0)
        end = len(body) if drop is None else min(drop, len(body))
        try:
            while request.sent < end:
                if file.stall_after is not None and request.sent >= file.stall_after:
                    self.site.closing.wait(30)
                    return
                stop = end if file.stall_after is None else file.stall_after
                block = body[request.sent : min(request.sent + step, end, max(stop, 1))]
                if file.framing == "chunked":
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block))
                else:
                    self.wfile.write(block)
                request.sent += len(block)
                time.sleep(pause)
            if file.framing == "chunked" and end == len(body):
                self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()
            if drop is not None and file.reset:
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
        except OSError:
            pass  # the client went away


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: clients that go away are part of the plan."""


@contextmanager
def serving() -> Iterator[Site]:
    """A server in threads of this process."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    handler.site = site = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
