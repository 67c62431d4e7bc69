"""One file over HTTP to ``NAME.part``, however often the connection breaks.

A try asks for what is missing (``Range``), on the condition that the file is still the one that the
first bytes came from (``If-Range`` with the server's ETag or date of change, and the total length).
A server that ignores the range, or has another file by now, makes it start from nothing: two files
are never stitched together knowingly, and the checksum is there for what no server tells. What the
first bytes came from is in ``NAME.part.json``, written before them, so all of this also holds after
the process was killed.

A try ends when the connection breaks, or when too little comes. It is repeated after a wait that
doubles; the tries are counted anew whenever the file has grown. What a server says for good (404,
403) is not asked twice.
"""

import http.client
import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.download.answer import Answer, BrokenOffError, Validators, ask
from data_pipelines.download.checksums import OnBytes
from gmsdi_jax.errors import ConfigError, OutputError, UnavailableError

BLOCK = 2**18
GROWN = 2**16
"""Bytes by which the file must grow for the tries to be counted anew."""
GIB = 2**30


class ConnectionLostError(UnavailableError):
    """The server was not to be reached, or broke off, as often as was to be tried."""


@dataclass(frozen=True)
class Patience:
    """When a try ends, and how many there are.

    Raises:
        ConfigError: A number is not positive.
    """

    tries: int = 8
    """Tries in a row without the file growing."""
    first_wait: float = 1.0
    """Seconds before the second try; each further wait is twice as long."""
    longest_wait: float = 60.0
    """Seconds."""
    timeout: float = 60.0
    """Seconds without a byte, or with too few, after which a try ends."""
    slowest: float = 1024.0
    """Bytes per second; a connection that brings less over `timeout` counts as broken."""

    def __post_init__(self) -> None:
        if self.tries < 1 or self.timeout <= 0:
            raise ConfigError(f"tries {self.tries}, timeout {self.timeout}: both must be positive")

    def wait(self, failed: int, asked: float) -> float:
        """Seconds to wait after so many failures, or what the server asks for, within bounds."""
        return min(max(self.first_wait * 2.0 ** min(failed - 1, 30), asked), self.longest_wait)


def transfer(
    url: str,
    part: Path,
    patience: Patience,
    on_bytes: OnBytes = lambda done, total: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> None:
    """Brings a file to `part`, going on with what is there.

    Args:
        url: Where the file is.
        part: Where it goes; beside it, ``.json`` added to the name, is what it comes from.
        patience: How often to try.
        on_bytes: Told how many bytes are there, and of how many (0 if the server does not say).
        on_note: Told in one line of every failure and every new start.

    Raises:
        ConnectionLostError: No try worked.
        UnavailableError: The server refuses.
        OutputError: The disk is full, or `part` cannot be written.
    """
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        failed, furthest = 0, _size(part)
    except OSError as error:
        raise OutputError(f"{part}: cannot be written ({error.strerror})") from error
    name = part.name.removesuffix(".part")
    while True:
        try:
            return _try(url, part, patience, on_bytes, on_note)
        except BrokenOffError as broken:
            size = _size(part)
            # Beyond the furthest so far: a server without ranges would otherwise be asked for ever.
            failed = 1 if size >= furthest + GROWN else failed + 1
            furthest = max(furthest, size)
            if failed >= patience.tries:
                raise ConnectionLostError(
                    f"{url}: {broken}, {failed} times in a row: "
                    f"the same command goes on from {size / 1e6:.1f} MB"
                ) from broken
            wait = patience.wait(failed, broken.wait)
            on_note(f"{name}: {broken}; try {failed + 1} of {patience.tries} in {wait:.0f} s")
            time.sleep(wait)


def forget(part: Path) -> None:
    """Removes a `part` and what is known of it."""
    for path in (part, _notes(part)):
        path.unlink(missing_ok=True)


def check_room(folder: Path, needed: int) -> None:
    """Raises OutputError if the disk of `folder` has less room than so many bytes."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{folder}: needs {needed / GIB:.1f} GiB, has {free / GIB:.1f} GiB: "
            "make room, or choose another folder"
        )


def _try(
    url: str,
    part: Path,
    patience: Patience,
    on_bytes: OnBytes,
    on_note: Callable[[str], None],
) -> None:
    """One try; returns when the file is there, as far as the server says."""
    start, known = _resume(part, url)
    if start and start == known.total:
        return
    answer = ask(url, start, known, patience.timeout)
    with closing(answer.response):
        try:
            if answer.start == 0:
                if start:
                    on_note(f"{part.name}: the server has another version, or none to go on "
                            "with: from the beginning")  # fmt: skip
                _begin(part, answer.validators)
            if answer.validators.total is not None:
                check_room(part.parent, answer.validators.total - answer.start)
            _receive(answer, part, patience, on_bytes)
        except OSError as error:  # of the file: those of the connection have become BrokenOffError
            raise OutputError(
                f"{part}: cannot be written ({error.strerror}): the same command goes on from here"
            ) from error


def _receive(answer: Answer, part: Path, patience: Patience, on_bytes: OnBytes) -> None:
    """Appends what comes until the end."""
    done, total = answer.start, answer.validators.total
    since, before = time.monotonic(), done
    with part.open("ab") as file:
        # Never more than was announced: some servers send on.
        while block := _block(
            answer.response, BLOCK if total is None else min(BLOCK, total - done)
        ):
            file.write(block)
            done += len(block)
            on_bytes(done, total or 0)
            spent = time.monotonic() - since
            if spent >= patience.timeout:
                if done - before < patience.slowest * spent:
                    raise BrokenOffError(f"only {done - before} bytes in {spent:.0f} s")
                since, before = time.monotonic(), done
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done < total:
        raise BrokenOffError(f"the connection was closed {total - done} bytes early")


def _block(response: http.client.HTTPResponse, left: int | None) -> bytes:
    """What has come, empty at the end; never more than was announced, for some servers send on."""
    try:
        return b"" if left == 0 else response.read1(min(BLOCK, left or BLOCK))
    except (OSError, http.client.HTTPException) as error:
        raise BrokenOffError(error) from error


def _resume(part: Path, url: str) -> tuple[int, Validators]:
    """How many bytes are there to go on with, and what they came from."""
    nothing = 0, Validators(url)
    try:
        known = Validators(**json.loads(_notes(part).read_text(encoding="utf-8")))
        size = _size(part)
        whole = known.total is None or size <= known.total
    except FileNotFoundError:
        return nothing
    except (OSError, ValueError, TypeError):
        return nothing  # damaged: what the bytes came from is not known
    return (size, known) if whole else nothing


def _begin(part: Path, validators: Validators) -> None:
    """An empty file, and what will be in it; in this order, so that neither can be of another."""
    part.write_bytes(b"")
    temporary = _notes(part).with_suffix(".tmp")
    temporary.write_text(json.dumps(validators._asdict()), encoding="utf-8")
    temporary.replace(_notes(part))


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _size(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0
