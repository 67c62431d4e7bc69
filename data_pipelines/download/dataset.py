"""Files of a data set, one after the other: brought, verified, unpacked, remembered.

A file has its name when its checksum was right; until then it is ``NAME.part``. What is there and
verified is not touched again, so the same command may be given as often as one likes: it goes on
where it was. A file with a wrong checksum is deleted and named, and the others are still brought.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_pipelines.download.catalogue import RemoteFile
from data_pipelines.download.checksums import checksum
from data_pipelines.download.ledger import Ledger, Unpacked, alone_in, read_ledger
from data_pipelines.download.transfer import (
    ConnectionLostError,
    Patience,
    check_room,
    forget,
    transfer,
)
from data_pipelines.download.unpack import Contents, sweep, unpack
from gmsdi_jax.errors import GMSDIError, InputError, OutputError, UnavailableError


@dataclass(frozen=True)
class Wishes:
    """What is to be done with the files."""

    unpack: bool = False
    """Archives become folders."""
    keep_archive: bool = False
    """Archives that were unpacked stay."""
    verify: bool = False
    """What is there is read again and compared, instead of trusting the record."""
    patience: Patience = field(default_factory=Patience)
    """With the server."""


@dataclass(frozen=True)
class Told:
    """Whom to tell what."""

    progress: Callable[[str, int, int], None] = lambda stage, done, total: None
    """Of the bytes done, of how many (0: unknown), in the stage of that name."""
    note: Callable[[str], None] = lambda note: None
    """Of what is worth a line."""
    failure: Callable[[GMSDIError], None] = lambda error: None
    """Of a file that could not be had."""


def fetch(
    files: Sequence[RemoteFile], out: Path, wishes: Wishes = Wishes(), told: Told = Told()
) -> dict[str, GMSDIError]:
    """Brings the files to a folder.

    Args:
        files: What to bring.
        out: The folder; it is made.
        wishes: What is to be done with them.
        told: Who is told of what happens.

    Returns:
        The files that failed for reasons of their own, with the errors; the others are there.

    Raises:
        ConnectionLostError: The server is not to be reached.
        OutputError: There is not enough room, another process is at work, or nothing can be
            written.
        InputError: The record of the folder is damaged.
    """
    failed: dict[str, GMSDIError] = {}
    with alone_in(out):
        ledger = read_ledger(out)
        check_room(out, _room(files, ledger, wishes))
        for file in files:
            try:
                _bring(file, ledger, wishes, told)
            except ConnectionLostError:
                raise
            except (InputError, UnavailableError) as error:
                failed[file.path] = error
                told.failure(error)
    return failed


def _room(files: Sequence[RemoteFile], ledger: Ledger, wishes: Wishes) -> int:
    """Bytes that are needed at the worst moment."""
    used = worst = 0
    for file in files:
        place = ledger.folder / file.path
        if _whole(file, ledger) and (wishes.unpack or not place.exists()):
            continue
        part = place if place.exists() else _part(place)
        here = part.stat().st_size if part.exists() else 0
        used += 0 if part == place else max(file.size - here, 0)
        worst = max(worst, used)
        if wishes.unpack and file.archive:
            used += file.archive.size
            worst = max(worst, used)
            used -= 0 if wishes.keep_archive else file.size
    return worst


def _bring(file: RemoteFile, ledger: Ledger, wishes: Wishes, told: Told) -> None:
    """One file, to its end."""
    place = ledger.folder / file.path
    unpacked = _whole(file, ledger)
    if unpacked:
        sweep(ledger.folder / unpacked.folder)
    if unpacked and (wishes.unpack or not place.exists()):
        if wishes.verify:
            _count(ledger.folder / unpacked.folder, unpacked)
        if not wishes.unpack:
            told.note(f"{file.path}: is unpacked in {unpacked.folder}, and not brought again")
    elif place.exists():
        _check(file, ledger, wishes, told)
    else:
        _download(file, ledger, wishes, told)
    if wishes.unpack and file.archive:
        unpacked = unpacked or _unpack(file, ledger, wishes, told)
        if not unpacked.keep_archive:
            place.unlink(missing_ok=True)


def _whole(file: RemoteFile, ledger: Ledger) -> Unpacked | None:
    """The folder that was made of an archive, if it is there and whole."""
    entry = ledger.whole(file.path, file.checksum)
    return entry if entry and file.archive and entry.folder == file.archive.folder else None


def _download(file: RemoteFile, ledger: Ledger, wishes: Wishes, told: Told) -> None:
    """From the server to a file that is right."""
    place = ledger.folder / file.path
    part = _part(place)

    def on_bytes(done: int, total: int) -> None:
        told.progress(place.name, done, total)

    transfer(file.url, part, wishes.patience, on_bytes, told.note)
    found = _hashed(part, file, told)
    if found != file.checksum.value:
        forget(part)
        raise InputError(
            f"{file.path}: {file.checksum.kind} is {found}, must be {file.checksum.value}: deleted "
            f"what came from {file.url}; run again, or take another --mirror"
        )
    try:
        part.replace(place)
        forget(part)
    except OSError as error:
        raise OutputError(f"{place}: cannot be written ({error.strerror})") from error
    ledger.add_file(file.path, file.checksum)
    told.note(f"{file.path}: {place.stat().st_size / 1e6:.1f} MB, {file.checksum.kind} is right")


def _check(file: RemoteFile, ledger: Ledger, wishes: Wishes, told: Told) -> None:
    """A file that is there already, perhaps brought by other means."""
    place = ledger.folder / file.path
    if ledger.verified(file.path, file.checksum) and not wishes.verify:
        return
    found = _hashed(place, file, told)
    if found != file.checksum.value:
        raise InputError(
            f"{place}: {file.checksum.kind} is {found}, must be {file.checksum.value}: "
            "delete it, or move it away, and run again"
        )
    ledger.add_file(file.path, file.checksum)


def _hashed(path: Path, file: RemoteFile, told: Told) -> str:
    """The checksum of what is there."""
    stage = f"checking {Path(file.path).name}"
    try:
        return checksum(
            path, file.checksum.kind, lambda done, total: told.progress(stage, done, total)
        ).value
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _unpack(file: RemoteFile, ledger: Ledger, wishes: Wishes, told: Told) -> Unpacked:
    """The archive to its folder."""
    assert file.archive is not None, "only archives come here"
    place, folder = ledger.folder / file.path, file.archive.folder

    def on_bytes(done: int, total: int) -> None:
        told.progress(f"unpacking {place.name}", done, total)

    def remember(contents: Contents) -> None:
        entry = Unpacked(str(file.checksum), folder, *contents, wishes.keep_archive)
        ledger.add_unpacked(file.path, entry)

    contents = unpack(place, ledger.folder / folder, file.archive.limits, on_bytes, remember)
    told.note(f"{folder}: {contents.files} files, {contents.bytes / 1e6:.1f} MB")
    return ledger.unpacked[file.path]


def _count(folder: Path, unpacked: Unpacked) -> None:
    """Compares what is in an unpacked folder with what came out of the archive."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    if (len(sizes), sum(sizes)) != (unpacked.files, unpacked.bytes):
        raise InputError(
            f"{folder}: holds {len(sizes)} files of {sum(sizes)} bytes, the archive "
            f"{unpacked.files} of {unpacked.bytes}: delete the folder and run again"
        )


def _part(place: Path) -> Path:
    return place.with_name(f"{place.name}.part")
